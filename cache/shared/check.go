package shared

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"postwhere/cache"
)

// ahead is behind all entries of a stream.
const ahead = "18446744073709551615-0"

// Check returns how long a server takes to answer, or why it cannot be used. It leaves
// nothing there, but for a second.
func Check(ctx context.Context, s Server) (took time.Duration, err error) {
	l := newLink(Config{Server: s, Log: slog.New(slog.DiscardHandler)})
	defer l.hangUp()
	if err := l.try(ctx); err != nil {
		return 0, err
	}
	begun := time.Now()
	if _, err := l.fetch(ctx, []question{{key: l.key(cache.Name{})}}); err != nil {
		return 0, err
	}
	took = time.Since(begun)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	keys := []string{l.purgeStream(), l.denialStream(), s.Prefix + "check"}
	args := []any{ahead, version, time.Second.Milliseconds(), streamLength, 0, time.Second.Milliseconds(), "{}", ""}
	if err := storeScript.Run(ctx, l.patient, keys, args...).Err(); err != nil {
		return took, fmt.Errorf("takes nothing: %w", err)
	}
	return took, nil
}
