package probe

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// joined sends what was written within a few milliseconds in one segment, as Nagle's
// algorithm, a proxy or TCP's own repetition does.
type joined struct {
	net.Conn
	mu    sync.Mutex
	ready []byte
}

func (j *joined) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.ready) == 0 {
		time.AfterFunc(3*time.Millisecond, func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			_, _ = j.Conn.Write(j.ready)
			j.ready = nil
		})
	}
	j.ready = append(j.ready, p...)
	return len(p), nil
}

// newTLSHost is a fake host with TLS from the first octet on.
func newTLSHost(t *testing.T, answer answerer) *fakeHost {
	t.Helper()
	cert := newAuthority(t).certify(t, "mail.d.test", time.Hour)
	pair, err := tls.X509KeyPair([]byte(cert.pem), []byte(cert.pem))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newPipeHost(answer)
	h.addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.begin(tls.Server(&joined{Conn: c}, &tls.Config{Certificates: []tls.Certificate{pair}}))
		}
	}()
	t.Cleanup(func() { _ = l.Close(); h.cut(); h.conns.Wait() })
	return h
}

// One by one, under TLS: a reply too many, in a TLS record of its own but in the
// segment of the one before it, is not the answer to the next question,
// however long after.
func TestUnaskedReplyUnderTLS(t *testing.T) {
	usual := has(true, "anna", "bert")
	h := newTLSHost(t, func(d *dialogue, verb, arg string) string {
		said := usual(d, verb, arg)
		if verb == "VRFY" && isAbout(arg, "bert") {
			d.say(said)
			return "550 5.1.1 User unknown"
		}
		return said
	})
	p := ofHost(t, h, func(cfg *Config) {
		cfg.Method, cfg.ReplyTimeout = VRFY, time.Second
		cfg.Security = Security{Level: TLSEncrypt, Wrapper: true}
	})
	wantSays(t, p, "anna@d.test", policy.Yes)
	ask(t, p, "bert@d.test") // unsure at best: something unasked follows
	time.Sleep(100 * time.Millisecond)
	if got := ask(t, p, "anna@d.test"); got.Says == policy.No {
		t.Errorf("refused: anna: %q", got.Reply)
	}
}

// The same in the midst of a dialogue: behind MAIL.
func TestUnaskedReplyBehindMAILUnderTLS(t *testing.T) {
	usualOf := has(false, "anna")
	h := newTLSHost(t, func(d *dialogue, verb, arg string) string {
		if verb == "MAIL" && d.n > 1 {
			d.say("250 2.1.0 Ok")
			return "550 5.1.1 User unknown"
		}
		return usualOf(d, verb, arg)
	})
	p := ofHost(t, h, func(cfg *Config) {
		cfg.Method, cfg.ReplyTimeout = RCPT, time.Second
		cfg.Security = Security{Level: TLSEncrypt, Wrapper: true}
	})
	wantSays(t, p, "nobody@d.test", policy.No)
	for _, held := range p.pool.AcquireAllIdle() {
		held.Destroy()
	}
	if got := ask(t, p, "anna@d.test"); got.Says == policy.No {
		t.Errorf("refused: anna: %q", got.Reply)
	}
}
