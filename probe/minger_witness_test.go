package probe

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// brokenMinger is a host that has anna and bert and, once it is broken, only its
// postmaster. It is silent about bert while it is mute.
type brokenMinger struct{ broken, mute atomic.Bool }

func (b *brokenMinger) script() mingerScript {
	whole := mingerd("", map[string]string{"anna@d.test": "5", "bert@d.test": "5", "postmaster@d.test": "5"})
	broken := mingerd("", map[string]string{"postmaster@d.test": "5"})
	return func(n int, query string) []string {
		switch {
		case b.mute.Load() && query == "bert@d.test":
			return nil
		case b.broken.Load():
			return broken(n, query)
		}
		return whole(n, query)
	}
}

// A host whose directory breaks is not believed, from when it denies somebody whom it had.
func TestMingerHostWhoseDirectoryBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b brokenMinger
		p, h := ofMingerScript(t, b.script())
		wantMinger(t, p, "anna@d.test", policy.Yes)
		before := h.asked()
		wantMinger(t, p, "nobody@d.test", policy.No)
		if n := h.asked() - before; n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(witnessFresh)
		before = h.asked()
		wantMinger(t, p, "nobody@d.test", policy.No)
		wantMinger(t, p, "nobody@d.test", policy.No)
		if n := h.asked() - before; n != 3 {
			t.Errorf("asked %d times", n)
		}
		b.broken.Store(true)
		for _, address := range []string{"anna@d.test", "nobody@d.test", "bert@d.test"} {
			if got := wantMinger(t, p, address, policy.Unsure); !got.Denied {
				t.Errorf("%s is not denied: %s", address, got.Why)
			}
		}
		b.broken.Store(false)
		wantMinger(t, p, "bert@d.test", policy.Yes)
		wantMinger(t, p, "nobody@d.test", policy.No)

		// It may have lost them for good.
		b.broken.Store(true)
		wantMinger(t, p, "anna@d.test", policy.Unsure)
		time.Sleep(witnessLife)
		wantMinger(t, p, "anna@d.test", policy.No)
	})
}

// Who cannot be asked whether the no is right has none.
func TestMingerHostThatIsSilentAboutItsWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b brokenMinger
		p, _ := ofMingerScript(t, b.script())
		wantMinger(t, p, "bert@d.test", policy.Yes)
		b.broken.Store(true)
		b.mute.Store(true)
		time.Sleep(witnessFresh)
		wantMinger(t, p, "anna@d.test", policy.Unsure)
	})
}

func TestMingerWitnessesOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b brokenMinger
		p, h := ofMingerScript(t, b.script())
		wantMinger(t, p, "anna@d.test", policy.Yes)
		kept, err := json.Marshal(p.Knowledge())
		if err != nil {
			t.Fatal(err)
		}
		b.broken.Store(true)
		time.Sleep(witnessFresh)
		cfg := mingerConfig()
		cfg.Endpoint, cfg.dial = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}, h.dial
		if err := json.Unmarshal(kept, &cfg.Known); err != nil {
			t.Fatal(err)
		}
		wantMinger(t, ofMinger(t, cfg, ""), "nobody@d.test", policy.Unsure)
	})
}
