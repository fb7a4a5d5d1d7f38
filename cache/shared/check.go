package shared

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"
)

// ahead is behind all entries of a stream.
const ahead = "18446744073709551615-0"

// Check returns how long a server takes to answer, or why it cannot be used: also which
// rights its user lacks. It leaves nothing there, but for a second.
func Check(ctx context.Context, s Server) (took time.Duration, err error) {
	l := newLink(Config{Server: s, Log: slog.New(slog.DiscardHandler)})
	defer l.hangUp()
	took, err = l.measure(ctx)
	// It may have replied that a right is lacking, or be slow, which is no reason not to look.
	if err == nil || isReply(err) || isTimeout(err) {
		if lacking := l.checkRights(ctx, l.rehearsal()); lacking != nil && (err == nil || !isTimeout(lacking)) {
			return 0, lacking
		}
	}
	if err == nil { // over a connection that is open
		took, err = l.measure(ctx)
	}
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	keys := []string{l.purgeStream(), l.denialStream(), s.Prefix + "check"}
	args := []any{
		ahead, version, time.Second.Milliseconds(), streamLength, 0, math.MaxInt64,
		0, time.Second.Milliseconds(), "{}", "",
	}
	if err := storeScript.Run(ctx, l.patient, keys, args...).Err(); err != nil {
		return took, fmt.Errorf("takes nothing: %w", err)
	}
	return took, nil
}
