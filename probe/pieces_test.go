package probe

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// inPieces makes a host that sends each of its replies in two segments, the first of
// so many octets, or an octet each if it is 0.
func inPieces(first int, else_ answerer) answerer {
	return func(d *dialogue, verb, arg string) string {
		said := else_(d, verb, arg)
		if said == "" {
			said = usual(verb)
		}
		_ = d.conn.(*net.TCPConn).SetNoDelay(true)
		octets := []byte(strings.ReplaceAll(said, "\n", "\r\n") + "\r\n")
		for size := max(first, 1); len(octets) > size; {
			if _, err := d.conn.Write(octets[:size]); err != nil {
				return drop
			}
			runtime.Gosched()
			if octets = octets[size:]; first > 0 {
				break
			}
		}
		if _, err := d.conn.Write(octets); err != nil || verb == "QUIT" {
			return drop
		}
		return mute
	}
}

// wordy makes each reply of a host one of several lines.
func wordy(else_ answerer) answerer {
	return func(d *dialogue, verb, arg string) string {
		said := else_(d, verb, arg)
		if len(said) > 4 && (verb == "RCPT" || verb == "VRFY" && said[0] == '5') {
			return said[:3] + "-" + said[4:] + "\n" + said[:3] + " " + said[4:]
		}
		return said
	}
}

// TCP may cut a reply anywhere. It means the same: by VRFY and by RCPT, of one line
// and of two.
func TestReplyInPiecesMeansTheSame(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		for first := range 100 { // no reply is longer
			for _, answer := range []answerer{has(vrfy, "anna"), wordy(has(vrfy, "anna"))} {
				p := ofHost(t, newHost(t, inPieces(first, answer)))
				wantSays(t, p, "anna@d.test", policy.Yes)
				wantSays(t, p, "nobody@d.test", policy.No)
				wantSays(t, p, "anna@d.test", policy.Yes)
				p.Close()
			}
		}
	}
}

func TestRepliesInPiecesInAPipeMeanTheSame(t *testing.T) {
	for first := range 100 {
		p := ofFarHost(t, newHost(t, inPieces(first, piped(0, nil))), patience)
		var asking sync.WaitGroup
		for i := range 12 {
			asking.Go(func() { wantSays(t, p, fmt.Sprintf("anna%d@d.test", i), policy.Yes) })
			asking.Go(func() { wantSays(t, p, fmt.Sprintf("nobody%d@d.test", i), policy.No) })
		}
		asking.Wait()
		p.Close()
	}
}

// Nor is the first part of a reply one, wherever the host hangs up, or falls silent,
// in the midst of it. Behind the code a line feed alone would make it whole.
func TestPartOfAReplyIsNoAnswer(t *testing.T) {
	const whole = "550 5.1.1 <anna@d.test>: User unknown\r\n"
	for _, then := range []string{drop, reset, hang} {
		for length := range len(whole) {
			for _, vrfy := range []bool{true, false} {
				usual := has(vrfy, "anna")
				h := newHost(t, func(d *dialogue, verb, arg string) string {
					if isAbout(arg, "anna") && (verb == "VRFY" && vrfy || verb == "RCPT") {
						if length == 0 {
							return then
						}
						return whole[:length] + "…" + then
					}
					return usual(d, verb, arg)
				})
				p := ofHost(t, h, func(c *Config) {
					if then == hang {
						c.ReplyTimeout = 20 * time.Millisecond
					}
				})
				if got := ask(t, p, "anna@d.test"); got.Says != policy.Unsure {
					t.Errorf("%q and %q: %s %q", whole[:length], then, got.Says, got.Reply)
				}
				p.Close()
			}
		}
	}
}
