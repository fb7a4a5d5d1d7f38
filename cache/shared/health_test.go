package shared

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"
)

// stuck is a log whose reader has stopped reading.
type stuck struct{ release chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.release
	return len(p), nil
}

// A log that nobody reads holds up nobody who looks something up.
func TestStuckLogHoldsUpNoLookUp(t *testing.T) {
	t.Parallel()
	log, gone := stuck{make(chan struct{})}, errors.New("connection refused")
	h := newHealth(slog.New(slog.NewTextHandler(log, nil)), func(context.Context) error { return gone })
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for {
			if err := h.ask(func() error { return gone }); errors.Is(err, errAway) {
				return
			}
		}
	}()
	select {
	case <-looked:
	case <-time.After(waitFor / 3):
		t.Error("a look-up waits for the log")
	}
	close(log.release)
	<-looked
	h.close()
}
