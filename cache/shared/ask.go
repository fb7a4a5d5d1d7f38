package shared

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Those who look something up at one moment are asked for together: each on a
// connection of his own, they would wait for one another, here and in the server.
const (
	// askers are how many batches are at the server at once. One that hangs takes a
	// connection with it.
	askers = 4
	// maxAsked is how many records are asked for at once, some 20 KB.
	maxAsked = 128
	// lateWait is how long a batch waits that nobody waits for any more: a connection
	// whose answer is late is a good one yet.
	lateWait = 4 * maxWait
)

// errLate: the server is there, and of no use to a look-up.
var errLate = fmt.Errorf("no answer within %v", maxWait)

// question is a look-up that waits for a record.
type question struct {
	key  string
	told chan<- told // has room for one
}

// told is what the server has under a key, "" if nothing, and what its clock said then.
type told struct {
	text string
	read reading
	err  error
}

// get returns what is stored under a key, within what a look-up waits.
func (l *Link) get(ctx context.Context, key string) (told, error) {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	answer := make(chan told, 1)
	select {
	case l.questions <- question{key, answer}:
	case <-timer.C:
		return told{}, errBusy
	case <-ctx.Done():
		return told{}, ctx.Err()
	case <-l.ctx.Done():
		return told{}, l.ctx.Err()
	}
	select {
	case t := <-answer:
		return t, t.err
	case <-timer.C:
		return told{}, errBusy // who asks for the batch finds out whether the server is away
	case <-ctx.Done():
		return told{}, ctx.Err()
	case <-l.ctx.Done():
		return told{}, l.ctx.Err()
	}
}

// ask asks for what is waited for, until the link ends.
func (l *Link) ask() {
	for {
		var batch []question
		select {
		case q := <-l.questions:
			batch = append(batch, q)
		case <-l.ctx.Done():
			return
		}
		for more := true; more && len(batch) < maxAsked; {
			select {
			case q := <-l.questions:
				batch = append(batch, q)
			default:
				more = false
			}
		}
		var answers []told
		err := l.health.ask(func() (err error) {
			answers, err = l.fetch(l.ctx, batch)
			return err
		})
		for i, q := range batch {
			if err != nil {
				q.told <- told{err: err}
			} else {
				q.told <- answers[i]
			}
		}
	}
}

// fetch asks for a batch.
func (l *Link) fetch(ctx context.Context, batch []question) ([]told, error) {
	ctx, cancel := context.WithTimeout(ctx, lateWait)
	defer cancel()
	pipe := l.quick.Pipeline()
	at := pipe.Time(ctx)
	records := make([]*redis.StringCmd, len(batch))
	for i, q := range batch {
		records[i] = pipe.GetRange(ctx, q.key, 0, maxRecord) // and one: what is longer is no record
	}
	sent := time.Now()
	_, _ = pipe.Exec(ctx) // each has its error
	if err := at.Err(); err != nil {
		return nil, busy(err)
	}
	read := reading{at.Val(), sent, time.Now()}
	if read.got.Sub(sent) > maxWait {
		return nil, errLate
	}
	answers := make([]told, len(batch))
	for i, r := range records {
		err := r.Err()
		switch {
		case err == nil:
			answers[i] = told{text: r.Val(), read: read}
		case isReply(err) && strings.HasPrefix(err.Error(), "WRONGTYPE"):
			// There is somebody else's under a name of ours.
		default:
			return nil, busy(err)
		}
	}
	return answers, nil
}

// busy returns an error as what it says about the server: of a silent one it is another
// than if there was no connection in time.
func busy(err error) error {
	if errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return errBusy
	}
	return err
}
