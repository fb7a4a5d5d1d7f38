package probe

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// postfix starts a Postfix that has the mailboxes.
func postfix(main map[string]string) func(testing.TB) *realhost.Host {
	return func(t testing.TB) *realhost.Host {
		t.Helper()
		cfg := realhost.PostfixConfig{
			Main:  map[string]string{"recipient_delimiter": "+", "virtual_alias_maps": "texthash:$config_directory/aliases"},
			Files: map[string]string{"aliases": "alias@d.test anna@d.test\ngrösse-alias@d.test anna@d.test\n"},
		}
		maps.Copy(cfg.Main, main)
		return cfg.MailHost(t, "d.test", mailboxes...)
	}
}

func TestPostfixAndStrangers(t *testing.T) {
	all := append(append(append([]string{}, owners...), strangers...), oddities...)
	for _, c := range []realCase{
		{
			name: "soft_bounce", start: postfix(map[string]string{"soft_bounce": "yes"}),
			yes: owners, unsure: strangers, strangers: policy.Unsure,
			bears: used{vrfys: 90, rcpts: 100, refusals: 9},
		},
		{
			name: "backup MX", start: postfix(map[string]string{"virtual_mailbox_domains": "", "virtual_alias_maps": "", "relay_domains": "d.test"}),
			unsure: all, strangers: policy.Unsure,
			bears: used{vrfys: 1, rcpts: 1},
		},
		{
			name: "accepts everything", start: postfix(map[string]string{"smtpd_reject_unlisted_recipient": "no"}),
			unsure: all, strangers: policy.Unsure,
			bears: used{vrfys: 1, rcpts: 1},
		},
	} {
		t.Run(c.name, c.run)
	}
}

// Where our connections come from is seen by the host.
func TestBindAddress(t *testing.T) {
	t.Parallel()
	h := postfix(nil)(t)
	p := ofRealHost(t, h, func(cfg *Config) { cfg.BindAddress = netip.MustParseAddr("127.0.0.9") })
	wantAll(t, p, mailboxes, policy.Yes, "")
	wantAll(t, p, strangers, policy.No, "")
	p.Close()
	for _, line := range strings.Split(h.Log(), "\n") {
		if strings.Contains(line, ": NOQUEUE: reject: ") && !strings.Contains(line, "[127.0.0.9]") {
			t.Errorf("not from there: %s", line)
		}
	}
	h.WaitLog(t, `disconnect from \S+\[127\.0\.0\.9\]`)
	for bind, why := range map[string]string{"192.0.2.1": "cannot assign requested address", "::1": "no suitable address"} {
		p := ofRealHost(t, h, func(cfg *Config) { cfg.BindAddress = netip.MustParseAddr(bind) })
		if got := wantSays(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, why) {
			t.Errorf("from %s: %s, want %s", bind, got.Why, why)
		}
	}
}

func TestPostfixOverIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	_ = l.Close()
	cfg := realhost.PostfixConfig{
		Main: map[string]string{"inet_protocols": "all"},
		SMTP: []realhost.SMTPService{{Addr: "[::1]:0"}},
	}
	h := cfg.MailHost(t, "d.test", mailboxes...)
	for _, bind := range []netip.Addr{{}, netip.IPv6Loopback()} {
		p := ofRealHost(t, h, func(cfg *Config) {
			e, err := ParseEndpoint("smtp:" + h.Addr())
			if err != nil {
				t.Fatal(err)
			}
			cfg.Endpoint, cfg.BindAddress = e, bind
		})
		wantAll(t, p, mailboxes, policy.Yes, "")
		wantAll(t, p, strangers, policy.No, "")
	}
	h.WaitLog(t, `disconnect from \S+\[::1\]`)
}

// A mailbox that is added is found, also if it was asked about before, by the
// time all connections are new. A no that comes over an older one is as old as
// that: whoever remembers it can tell.
func TestAddedMailboxIsFound(t *testing.T) {
	for name, c := range map[string]realCase{
		"Postfix":         {start: postfix(nil)},
		"Postfix by RCPT": {start: postfix(map[string]string{"disable_vrfy_command": "yes"})},
		"Exim":            {start: exim("", "")},
		"Sendmail":        {start: sendmail("")},
		"OpenSMTPD":       {start: openSMTPD("d.test", "", "anna@d.test", "postmaster@d.test")},
		"Dovecot":         {start: dovecot(""), change: overLMTP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := c.start(t)
			p := ofRealHost(t, h, func(cfg *Config) {
				if c.change != nil {
					c.change(cfg, h)
				}
			})
			for n := range 3 {
				dora := fmt.Sprintf("dora%d@d.test", n)
				before := time.Now()
				if got := wantSays(t, p, dora, policy.No); got.At.After(time.Now()) || n == 0 && got.At.Before(before) {
					t.Errorf("a no of %v, asked at %v", got.At, before)
				}
				h.AddMailbox(t, dora)
				added := time.Now()
				for range 2 * mostRefusals * p.cfg.Connections {
					got := ask(t, p, dora)
					if got.Says == policy.Yes {
						break
					}
					if got.Says == policy.No && !got.At.Before(added) {
						t.Fatalf("%s of %v, added at %v: %s %q %s", got.Says, got.At, added, got.Method, got.Reply, got.Why)
					}
				}
				wantAll(t, p, []string{dora}, policy.Yes, "")
			}
		})
	}
}

// A host that is stopped is known to be down by the first question. Nobody waits
// for it, or connects to it by asking; when it is there again that is found out
// without anybody asking.
func TestPostfixStopsAndStarts(t *testing.T) {
	t.Parallel()
	h := postfix(nil)(t)
	var dials atomic.Int32
	var notes notebook
	p := ofRealHost(t, h, func(cfg *Config) {
		cfg.Log = noted(&notes)
		cfg.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	for n := range 3 {
		wantAll(t, p, mailboxes, policy.Yes, "")
		wantAll(t, p, strangers[:3], policy.No, "")
		h.Stop(t)
		wantAll(t, p, mailboxes[:1], policy.Unsure, "")
		began, dialled := time.Now(), dials.Load()
		for i := range 1000 {
			got := wantSays(t, p, fmt.Sprintf("user%d@d.test", i), policy.Unsure)
			if !strings.Contains(got.Why, errDown.Error()+" since ") {
				t.Fatalf("why %q", got.Why)
			}
		}
		// At a tenth of a second at the soonest, and a new round each time it doubles.
		if tries := int(dials.Load() - dialled); tries > 2+int(time.Since(began)/(firstTry/2)) {
			t.Errorf("1000 questions in %v and %d connections", time.Since(began), tries)
		}
		h.Start(t)
		waitUp(t, p)
		wantAll(t, p, mailboxes[:1], policy.Yes, "")
		for what, want := range map[string]int{"host is down": n + 1, "host is up again": n + 1} {
			if got := strings.Count(notes.String(), what); got != want {
				t.Errorf("%q is in the log %d times, want %d:\n%s", what, got, want, notes.String())
			}
		}
	}
}
