package cache

import "time"

// Ages are told by two clocks, and the one that makes an answer older is right.
//
// The monotonic clock does not jump: a wall clock that is set back by an hour
// would have a no of five minutes live an hour longer. But it stands still while
// the machine is suspended, and it means nothing to another process; there the
// wall clock tells. Set forward, the wall clock makes memory forget too early,
// which is safe. The two can only fail together, by a clock set back while the
// machine sleeps, and then by no more than it slept.

// moment is one point in time by both clocks, in nanoseconds. It is half as large
// as two time.Time.
type moment struct {
	wall int64 // since 1970
	mono int64 // since the cache was born
}

// since returns the time from past to m, by the clock by which it is longer.
func (m moment) since(past moment) time.Duration {
	return time.Duration(max(m.wall-past.wall, m.mono-past.mono))
}

// before tells whether m is before then by both clocks.
func (m moment) before(then moment) bool { return m.wall < then.wall && m.mono < then.mono }

// plus returns the moment that is d later.
func (m moment) plus(d time.Duration) moment { return moment{m.wall + int64(d), m.mono + int64(d)} }

// earlier returns for each clock the earlier of two times.
func (m moment) earlier(other moment) moment {
	return moment{min(m.wall, other.wall), min(m.mono, other.mono)}
}

// clock makes moments of times.
type clock struct {
	born time.Time // with a reading of the monotonic clock
}

// moment returns the moment of a time that has a reading of the monotonic clock
// and is within the years that int64 nanoseconds reach (1678 to 2262).
func (c clock) moment(t time.Time) moment {
	return moment{wall: t.UnixNano(), mono: int64(t.Sub(c.born))}
}

// ageOf returns the age of an answer at the time that it is handed in: below 0 if
// its time is yet to come, and longer than any lifetime if it has none.
func ageOf(at, now time.Time) time.Duration {
	// Sub goes by the monotonic clock if both have its reading, Round(0) takes
	// the reading off. Sub does not overflow.
	return max(now.Sub(at), now.Round(0).Sub(at.Round(0)))
}

// anchored returns the same time with a reading of the monotonic clock, so that
// from now on no change of the wall clock makes the answer younger. A time that
// has a reading is returned as it is: callers know an answer by its time.
func anchored(at, now time.Time) time.Time {
	if at != at.Round(0) {
		return at
	}
	return now.Add(-now.Sub(at))
}

// shortened returns the lifetime d of the entry with this hash: up to a tenth
// shorter, never longer.
func shortened(d time.Duration, hash uint64) time.Duration {
	const steps = 1 << 10
	return d - d/(10*steps)*time.Duration(hash/(flags+1)%steps)
}
