package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"postwhere/policy"
)

var _ policy.Prober = (*MingerProber)(nil)

func TestMinger(t *testing.T) {
	p := ofMingerHost(t, serveMinger(t, orderly()))
	yes := wantMinger(t, p, "anna@d.test", policy.Yes)
	if yes.Method != "minger" || yes.Reply.String() != "anna@d.test 5" || yes.Weak || yes.Took <= 0 {
		t.Errorf("%+v", yes)
	}
	wantMinger(t, p, "Anna@d.test", policy.Yes)
	wantMinger(t, p, `"a,b"@d.test`, policy.Yes)
	wantMinger(t, p, "nobody@d.test", policy.No)
	wantMinger(t, p, `"no,body"@d.test`, policy.Unsure)
	if got := wantMinger(t, p, "dora@d.test", policy.Yes); !got.Weak {
		t.Error("a disabled mailbox is as good as another")
	}
}

func TestMingerAsksOnlyWhatCanBeAsked(t *testing.T) {
	h := serveMinger(t, orderly())
	p := ofMingerHost(t, h)
	for _, s := range []string{`"an na"@d.test`, "änna@d.test"} {
		wantMinger(t, p, s, policy.Unsure)
	}
	if got := h.asked(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
}

func TestMingerSecret(t *testing.T) {
	const secret = "correct-horse-battery"
	h := serveMinger(t, mingerd(secret, map[string]string{"anna@d.test": "5", "postmaster@d.test": "5"}))
	cfg := mingerConfig()
	cfg.Endpoint = Endpoint{Network: "udp", Address: h.LocalAddr().String()}
	for _, tt := range []struct {
		secret    string
		yes, nobo policy.Says
	}{
		{secret, policy.Yes, policy.No},
		{"", policy.Unsure, policy.Unsure},
		{"correct-horse-batterY", policy.Unsure, policy.Unsure},
	} {
		p := ofMinger(t, cfg, tt.secret)
		wantMinger(t, p, "anna@d.test", tt.yes)
		if got := wantMinger(t, p, "nobody@d.test", tt.nobo); tt.secret != secret && !strings.Contains(got.Why, "shared secret") {
			t.Errorf("%q does not speak of the shared secret", got.Why)
		}
	}
}

// TestMingerKeepsTheSecret: neither it nor a digest, from which it can be
// guessed, is seen, though the host brings all back that we sent.
func TestMingerKeepsTheSecret(t *testing.T) {
	const secret = "correct-horse-battery"
	answer := mingerd(secret, map[string]string{"postmaster@d.test": "5"})
	for _, ours := range []string{secret, "another-one-of-ours"} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var queries []string
			h := &mingerPipes{script: func(n int, query string) []string {
				mu.Lock()
				defer mu.Unlock()
				queries = append(queries, query)
				switch mailbox, _, _ := strings.Cut(query, " "); mailbox {
				case "echo@d.test":
					return []string{query}
				case "stray@d.test":
					return []string{"x" + query}
				}
				return answer(n, query)
			}}
			var seen bytes.Buffer
			cfg := mingerConfig()
			cfg.dial = h.dial
			cfg.Log = slog.New(slog.NewTextHandler(&seen, nil))
			p := ofMinger(t, cfg, ours)
			ctx := WithTrace(t.Context(), func(host string, sent bool, line string) { fmt.Fprintln(&seen, host, sent, line) })
			for _, s := range []string{"nobody@d.test", "echo@d.test", "stray@d.test"} {
				a, err := policy.ParseAddress(s)
				if err != nil {
					t.Fatal(err)
				}
				got := p.Ask(ctx, a)
				fmt.Fprintln(&seen, got, got.Reply, got.Why)
			}
			h.served.Wait()
			for _, query := range queries {
				if _, digest, _ := strings.Cut(query, " d="); strings.Contains(seen.String(), digest) {
					t.Errorf("the digest of %q is seen in\n%s", query, seen.String())
				}
			}
			if strings.Contains(seen.String(), ours) {
				t.Errorf("%q is seen in\n%s", ours, seen.String())
			}
			if ours == secret && (!strings.Contains(seen.String(), "mail1 true nobody@d.test d=…\nmail1 false nobody@d.test 3\n") ||
				!strings.Contains(seen.String(), `said "xstray@d.test d=…"`)) {
				t.Errorf("not to be seen in\n%s", seen.String())
			}
		})
	}
	if _, err := NewMinger(mingerConfig(), secret+"\n"); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("a secret with the end of its line: %v", err)
	}
}

func TestNewMingerWantsAControlThatCanBeAsked(t *testing.T) {
	cfg := mingerConfig()
	cfg.Control = `"post master"@d.test`
	if _, err := NewMinger(cfg, ""); !errors.Is(err, errNotByMinger) {
		t.Errorf("%v", err)
	}
}

// TestMingerViolations is a host that does as it should, but for one address.
// Nothing of this may be a no; a right answer that comes as well is found.
func TestMingerViolations(t *testing.T) {
	long := strings.Repeat("x", 600)
	for _, tt := range []struct {
		name string
		said []string
		want policy.Says
	}{
		{"silence", nil, policy.Unsure},
		{"nothing", []string{""}, policy.Unsure},
		{"a digit", []string{"3"}, policy.Unsure},
		{"no blank", []string{"berta@d.test3"}, policy.Unsure},
		{"another address", []string{"anna@d.test 3"}, policy.Unsure},
		{"another domain", []string{"berta@e.test 3"}, policy.Unsure},
		{"a part of the address", []string{"rta@d.test 3"}, policy.Unsure},
		{"a longer address", []string{"berta@d.test.example 3"}, policy.Unsure},
		{"in brackets", []string{"<berta@d.test> 3"}, policy.Unsure},
		{"two lines", []string{"berta@d.test 3\nanna@d.test 5"}, policy.Unsure},
		{"oversized", []string{"berta@d.test 3 " + long}, policy.Unsure},
		{"padded beyond measure", []string{"berta@d.test 3" + strings.Repeat("\x00", 1000)}, policy.Unsure},
		{"garbage", []string{"\x80\x02\x01\x03\xff"}, policy.Unsure},
		{"SMTP", []string{"550 5.1.1 <berta@d.test>: User unknown\r\n"}, policy.Unsure},
		{"invalid", []string{"berta@d.test 0"}, policy.Unsure},
		{"denied", []string{"berta@d.test 1"}, policy.Unsure},
		{"credentials", []string{"berta@d.test 2"}, policy.Unsure},
		{"mingerd's own fault", []string{"berta@d.test -1"}, policy.Unsure},
		{"a status to come", []string{"berta@d.test 6"}, policy.Unsure},
		{"two digits", []string{"berta@d.test 33"}, policy.Unsure},
		{"a tag behind", []string{"berta@d.test 3 retry=1"}, policy.Unsure},
		{"two blanks", []string{"berta@d.test  3"}, policy.Unsure},
		{"garbage, then yes", []string{"\xff", "", long, "3", "anna@d.test 3", "berta@d.test 5"}, policy.Yes},
		{"another's no, then no", []string{"anna@d.test 5", "berta@d.test 3"}, policy.No},
		{"yes twice", []string{"berta@d.test 5", "berta@d.test 5"}, policy.Yes},
		{"folded", []string{"BERTA@D.TEST 3"}, policy.No},
		{"the end of a line", []string{"berta@d.test 3\r\n"}, policy.No},
		{"a C string", []string{"berta@d.test 5\x00"}, policy.Yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := ofMingerScript(t, orderly().about("berta@d.test", lines(tt.said...)))
				got := wantMinger(t, p, "berta@d.test", tt.want)
				if got.Took > mingerTime {
					t.Errorf("took %v", got.Took)
				}
				if seen := got.Why + got.Reply.String(); !utf8.ValidString(seen) || strings.ContainsFunc(seen, unicode.IsControl) || len(seen) > 500 {
					t.Errorf("not fit for a log: %q", got.Why)
				}
				// Nor does it say anything of the next question, once it is known that
				// the host answers others.
				time.Sleep(2 * firstTry)
				wantMinger(t, p, "anna@d.test", policy.Yes)
				wantMinger(t, p, "nobody@d.test", policy.No)
			})
		})
	}
}

// TestMingerNeverRefuses lets hosts say at random what could be taken for a no:
// only what is one, octet for octet, and about this address, is.
func TestMingerNeverRefuses(t *testing.T) {
	words := []string{"berta@d.test", "anna@d.test", "BERTA@d.test", "3", "5", "33", "03", "-1", "\x00", "\r\n", "", "\t", "d=x", "3 "}
	for range 300 {
		said := make([]string, rand.IntN(3))
		for i := range said {
			var parts []string
			for range 1 + rand.IntN(3) {
				parts = append(parts, words[rand.IntN(len(words))])
			}
			said[i] = strings.Join(parts, " ")
		}
		synctest.Test(t, func(t *testing.T) {
			p, _ := ofMingerScript(t, orderly().about("berta@d.test", lines(said...)))
			got := askMinger(t, p, "berta@d.test")
			isNo := func(s string) bool { return strings.EqualFold(strings.TrimRight(s, "\r\n\x00"), "berta@d.test 3") }
			if got.Says == policy.No && !slices.ContainsFunc(said, isNo) {
				t.Errorf("%q is a no", said)
			}
		})
	}
}

// TestMingerLooksItsNameUpNowAndThen: not for each question, each of which has a
// socket of its own.
func TestMingerLooksItsNameUpNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := ofMingerScript(t, orderly())
		for range 5 {
			wantMinger(t, p, "nobody@d.test", policy.No)
		}
		time.Sleep(mingerNameLife)
		wantMinger(t, p, "nobody@d.test", policy.No)
		named := 0
		for _, name := range h.names {
			if name == "mail1.d.test:4069" {
				named++
			}
		}
		if questions := len(h.names) - named; named != 2 || questions != 8 {
			t.Errorf("looked up %d times for %d questions", named, questions)
		}
	})
}

func TestMingerBoundsItsQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nobody := mingerd("", map[string]string{"postmaster@d.test": "5"})
		p, h := ofMingerScript(t, func(n int, query string) []string {
			time.Sleep(100 * time.Millisecond)
			return nobody(n, query)
		})
		var askers sync.WaitGroup
		for i := range 20 {
			askers.Go(func() { wantMinger(t, p, fmt.Sprintf("nobody%d@d.test", i), policy.No) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		a, _ := policy.ParseAddress("impatient@d.test")
		if got := p.Ask(ctx, a); got.Says != policy.Unsure || got.Took != 50*time.Millisecond {
			t.Errorf("%s (%s) after %v", got.Says, got.Why, got.Took)
		}
		askers.Wait()
		if h.most > 4 {
			t.Errorf("%d questions at once", h.most)
		}
		if len(h.times) != 22 { // one calibration for all of them
			t.Errorf("asked %d times", len(h.times))
		}
	})
}

func TestMingerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := ofMingerScript(t, orderly().about("berta@d.test", func(int) []string {
			time.Sleep(time.Second)
			return []string{"berta@d.test 5"}
		}))
		var asker sync.WaitGroup
		asker.Go(func() { wantMinger(t, p, "berta@d.test", policy.Yes) })
		synctest.Wait()
		start := time.Now()
		p.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		asker.Wait()
		before := len(h.names)
		wantMinger(t, p, "anna@d.test", policy.Unsure)
		if _, err := p.Calibrate(t.Context(), "d.test"); err == nil || len(h.names) != before {
			t.Errorf("asked when closed: %v", err)
		}
		p.Close()
	})
}
