package probe

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"postwhere/policy"
)

// knowledgeVersion changes with what Knowledge means: that of another version is
// none.
const knowledgeVersion = 1

// Knowledge is what was learnt of a host, for the prober that asks the same host
// after a restart. It is plain data, which comes back through JSON as it was; equal
// knowledge is equal JSON. The zero value is none. All in it keeps its time, and is
// forgotten when it would have been.
type Knowledge struct {
	Version      int
	Calibrations []KnownCalibration
	Witnesses    []KnownWitnesses
	VRFYs        KnownAllowance
	Refusals     KnownAllowance
}

// KnownCalibration is a calibration, and what it is for.
type KnownCalibration struct {
	Domain, Greeting string
	Calibration      Calibration
}

// KnownWitnesses are mailboxes of a domain that the host was seen to have, the
// latest first. Said is the minute of the last yes from each of the hosts behind its name, Doubted
// that since when it refuses them all; zero: it does not.
type KnownWitnesses struct {
	Domain    string
	Addresses []string
	Said      map[string]time.Time
	Doubted   time.Time
}

// KnownAllowance is how many questions of a kind a connection bears. Ceiling is
// where it showed wear, at the time Seen; 0: nowhere.
type KnownAllowance struct {
	Now, Ceiling int
	Seen         time.Time
}

// OfAnother returns what is to be known of a host that is asked in another way now, and may be
// another one: whom one of its name had. Its no is not believed until it has somebody of those,
// or anybody: it may be the same, and its directory broken.
func (k Knowledge) OfAnother() Knowledge {
	another := Knowledge{Version: k.Version}
	for _, w := range k.Witnesses {
		another.Witnesses = append(another.Witnesses, KnownWitnesses{Domain: w.Domain, Addresses: w.Addresses, Doubted: w.Doubted})
	}
	return another
}

// Knowledge returns what was learnt of the host so far, also after Close.
func (p *Prober) Knowledge() Knowledge {
	k := Knowledge{
		Version:      knowledgeVersion,
		Calibrations: p.calibrations.export(),
		Witnesses:    p.testimony.export(time.Now()),
	}
	b := p.cfg.learnt.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	k.VRFYs, k.Refusals = b.vrfys.export(), b.refusals.export()
	return k
}

// remember takes over what was learnt of the host before. Nobody else has the
// prober yet.
func (p *Prober) remember(k Knowledge) {
	if k.Version != knowledgeVersion {
		return
	}
	now := time.Now()
	p.calibrations.restore(k.Calibrations, now)
	p.testimony.restore(k.Witnesses, now)
	p.cfg.learnt.budget.vrfys.restore(k.VRFYs, now)
	p.cfg.learnt.budget.refusals.restore(k.Refusals, now)
}

// Knowledge returns what was learnt of the host so far, also after Close.
func (p *MingerProber) Knowledge() Knowledge {
	return Knowledge{Version: knowledgeVersion, Calibrations: p.calibrations.export(), Witnesses: p.testimony.export(time.Now())}
}

// export returns the calibrations that are relied on. One that says what is no text
// is left out: it would not come back as it was.
func (c *calibrations) export() []KnownCalibration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var all []KnownCalibration
	for k, known := range c.known {
		if !known.expired(now) && utf8.ValidString(k.domain+k.greeting+known.Refusal.Enhanced+known.Refusal.Text+known.Why) {
			known.At = known.At.Round(0).UTC()
			all = append(all, KnownCalibration{k.domain, k.greeting, known.Calibration})
		}
	}
	slices.SortFunc(all, func(a, b KnownCalibration) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Greeting, b.Greeting),
			cmp.Compare(a.Calibration.Method, b.Calibration.Method))
	})
	return all
}

// restore takes over those that are to be relied on yet.
func (c *calibrations) restore(all []KnownCalibration, now time.Time) {
	for _, k := range all {
		known := k.Calibration
		if !known.expired(now) {
			known.At = anchored(known.At, now)
			c.put(calibrationKey{k.Domain, k.Greeting, known.Method}, known)
		}
	}
}

// export returns the witnesses that may have to vouch. Minutes are enough: a yes
// that is taken for older than it is makes the host be asked the sooner.
func (t *testimony) export(now time.Time) []KnownWitnesses {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []KnownWitnesses
	for domain, s := range t.known {
		if isGone(s.doubted, now) {
			continue
		}
		k := KnownWitnesses{domain, slices.Clone(s.addresses), make(map[string]time.Time), s.doubted.Truncate(time.Minute).UTC()}
		for voice, v := range s.voices {
			if !v.said.IsZero() && utf8.ValidString(voice) { // it would not come back as it was
				k.Said[voice] = v.said.Truncate(time.Minute).UTC()
			}
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b KnownWitnesses) int { return strings.Compare(a.Domain, b.Domain) })
	return all
}

// restore takes over the witnesses. If the clock was set back they have to vouch.
func (t *testimony) restore(all []KnownWitnesses, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range all {
		for _, address := range slices.Backward(k.Addresses) {
			// They go to the host as they are.
			if a, err := policy.ParseAddress(address); err == nil && a.At(k.Domain).String() == address && t.isWitness(k.Domain, address) {
				t.witness(k.Domain, address)
			}
		}
		s := t.known[k.Domain]
		if s == nil {
			continue
		}
		if !k.Doubted.IsZero() {
			s.doubted = anchored(k.Doubted, now)
			if s.doubted.After(now) { // by a clock that was set back
				s.doubted = now
			}
		}
		for of, at := range k.Said {
			if !at.After(now) && len(s.voices) < mostBehind {
				s.voices[of] = voice{said: anchored(at, now)}
			}
		}
		t.credits.Store(k.Domain, s.credit())
	}
}

func (a *allowance) export() KnownAllowance {
	k := KnownAllowance{Now: a.now, Ceiling: a.ceiling}
	if a.ceiling > 0 {
		k.Seen = a.seen.Round(0).UTC()
	}
	return k
}

// restore takes over what is within the bounds that there are now.
func (a *allowance) restore(k KnownAllowance, now time.Time) {
	if k.Now < 1 || k.Now > a.most || k.Ceiling < 0 || k.Ceiling > a.most {
		return
	}
	a.now, a.ceiling, a.seen = k.Now, k.Ceiling, anchored(k.Seen, now)
	if a.seen.After(now) {
		a.seen = now
	}
}

// anchored returns a time of the wall clock with a reading of the monotonic one,
// so that from now on no change of the wall clock makes it younger.
func anchored(at, now time.Time) time.Time { return now.Add(-now.Sub(at)) }
