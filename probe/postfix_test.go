package probe

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// The mailboxes of the real host, all ways to write to them, and strangers.
var (
	mailboxes = []string{"anna@d.test", `"a b"@d.test`, "größe@d.test", "postmaster@d.test"}
	owners    = []string{
		"anna@d.test", "AnNa@D.Test", "anna+ext@d.test", "ANNA+Ext@d.test", `"anna"@d.test`, `"a b"@d.test`, `"A b"@d.test`, "alias@d.test", "Alias+x@d.test",
		"größe@d.test", "GRÖSSE-alias@d.test", "postmaster@d.test",
	}
	strangers = []string{
		"nobody@d.test", "NoBody@D.test", "nobody+anna@d.test", "+anna@d.test", `"c d"@d.test`, `"anna,"@d.test`, "kleine@d.test", "größe.@d.test",
		"anna.@d.test", "an-na@d.test", "anna=d.test@d.test", `"a\"b"@d.test`, "SMTPUTF8@d.test",
	}
	// Of these Postfix says "Relay access denied" and "Bad recipient address syntax".
	oddities = []string{`"anna@d.test"@d.test`, "anna%@d.test", "anna%other.test@d.test", "-anna@d.test"}
)

// mailHost starts a real Postfix that has the mailboxes.
func mailHost(t *testing.T, main map[string]string) *realhost.Host {
	t.Helper()
	t.Parallel()
	cfg := realhost.PostfixConfig{
		Main: map[string]string{
			"recipient_delimiter": "+",
			"virtual_alias_maps":  "texthash:$config_directory/aliases",
		},
		Files: map[string]string{"aliases": "alias@d.test anna@d.test\ngrösse-alias@d.test anna@d.test\n"},
	}
	for name, value := range main {
		cfg.Main[name] = value
	}
	return cfg.MailHost(t, "d.test", mailboxes...)
}

// ofRealHost makes a Prober of a real host.
func ofRealHost(t *testing.T, h *realhost.Host, change ...func(*Config)) *Prober {
	t.Helper()
	return ofHost(t, &fakeHost{addr: h.Addr()}, append([]func(*Config){func(c *Config) { c.Connections = 3 }}, change...)...)
}

// wantAll asks about each address, and by which method it was answered.
func wantAll(t *testing.T, p *Prober, addresses []string, want policy.Says, method string) {
	t.Helper()
	for _, s := range addresses {
		method := method
		if method == "vrfy" && !isASCII(s) {
			method = "rcpt" // the parameter of VRFY is an address to some
		}
		if got := wantSays(t, p, s, want); method != "" && got.Method != method {
			t.Errorf("%s: by %s %q %s, want by %s", s, got.Method, got.Reply, got.Why, method)
		}
	}
}

func TestPostfixAsItComes(t *testing.T) {
	p := ofRealHost(t, mailHost(t, nil))
	wantAll(t, p, owners, policy.Yes, "vrfy")
	wantAll(t, p, strangers, policy.No, "vrfy")
	wantAll(t, p, oddities, policy.Unsure, "")
}

func TestPostfixWithoutVRFY(t *testing.T) {
	p := ofRealHost(t, mailHost(t, map[string]string{"disable_vrfy_command": "yes"}))
	wantAll(t, p, owners, policy.Yes, "rcpt")
	wantAll(t, p, strangers, policy.No, "rcpt")
	wantAll(t, p, oddities, policy.Unsure, "rcpt")
}

func TestPostfixWithSoftBounce(t *testing.T) {
	for _, vrfy := range []string{"no", "yes"} {
		t.Run("disable_vrfy_command="+vrfy, func(t *testing.T) {
			p := ofRealHost(t, mailHost(t, map[string]string{"soft_bounce": "yes", "disable_vrfy_command": vrfy}))
			wantAll(t, p, owners, policy.Yes, "")
			wantAll(t, p, strangers, policy.Unsure, "")
		})
	}
}

// Postfixes whose answers cannot be believed, or that do not want us: nobody has
// a mailbox there, and nobody has none.
func TestPostfixThatCannotBeBelieved(t *testing.T) {
	for name, main := range map[string]map[string]string{
		"accepts everything":            {"smtpd_reject_unlisted_recipient": "no"},
		"accepts everything by RCPT":    {"smtpd_reject_unlisted_recipient": "no", "disable_vrfy_command": "yes"},
		"has a catch-all":               {"virtual_mailbox_maps": "static:all"},
		"has not got the domain":        {"virtual_mailbox_domains": "other.test"},
		"the same, we in mynetworks":    {"virtual_mailbox_domains": "other.test", "mynetworks": "127.0.0.0/8"},
		"backup MX without a map":       {"virtual_mailbox_domains": "", "virtual_alias_maps": "", "relay_domains": "d.test"},
		"its table is broken":           {"virtual_mailbox_maps": "texthash:$config_directory/missing"},
		"refuses the client":            {"smtpd_client_restrictions": "check_client_access inline:{{127.0.0.9 = reject}}"},
		"the same at once":              {"smtpd_client_restrictions": "check_client_access inline:{{127.0.0.9 = reject}}", "smtpd_delay_reject": "no"},
		"the same, without a code":      {"smtpd_client_restrictions": "check_client_access inline:{{127.0.0.9 = 550 Go away}}"},
		"refuses the EHLO name":         {"smtpd_helo_restrictions": "check_helo_access static:{450 4.7.1 Helo command rejected: Host not found}"},
		"refuses the EHLO name at once": {"smtpd_helo_restrictions": "check_helo_access static:{450 4.7.1 Helo command rejected: Host not found}", "smtpd_delay_reject": "no"},
		"refuses the EHLO name for good, without an enhanced code": {"smtpd_helo_restrictions": "check_helo_access static:{550 Go away}"},
		"wants STARTTLS":            {"smtpd_tls_security_level": "encrypt", "smtpd_tls_cert_file": "/nonexistent"},
		"greylists":                 {"smtpd_recipient_restrictions": "check_recipient_access static:{450 4.2.0 Greylisted}"},
		"refuses by policy":         {"smtpd_recipient_restrictions": "check_recipient_access static:{550 5.7.1 Denied by policy}"},
		"refuses, by a vague code":  {"smtpd_recipient_restrictions": "check_recipient_access static:{550 5.1.0 Go away}"},
		"refuses the null sender":   {"disable_vrfy_command": "yes", "smtpd_sender_restrictions": "check_sender_access static:{550 5.1.8 no null sender}", "smtpd_delay_reject": "no"},
		"refuses VRFY and the rest": {"disable_vrfy_command": "yes", "smtpd_client_restrictions": "reject"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ofRealHost(t, mailHost(t, main), func(c *Config) {
				c.dial = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}).DialContext
			})
			wantAll(t, p, []string{"anna@d.test", "nobody@d.test", "anna+ext@d.test", "größe@d.test", `"a b"@d.test`}, policy.Unsure, "")
		})
	}
}

// Postfixes that bear little: each question is answered all the same.
func TestPostfixThatBearsLittle(t *testing.T) {
	for name, main := range map[string]map[string]string{
		"one error, as under stress": {"smtpd_hard_error_limit": "1", "smtpd_soft_error_limit": "1", "smtpd_error_sleep_time": "0"},
		"three errors":               {"smtpd_hard_error_limit": "3", "smtpd_soft_error_limit": "2", "smtpd_error_sleep_time": "0"},
		"three errors, by RCPT":      {"smtpd_hard_error_limit": "3", "smtpd_error_sleep_time": "0", "disable_vrfy_command": "yes"},
		"one junk command":           {"smtpd_junk_command_limit": "1", "smtpd_hard_error_limit": "4", "smtpd_error_sleep_time": "0"},
		"slow from the second error": {"smtpd_soft_error_limit": "1", "smtpd_error_sleep_time": "1"},
		"one recipient":              {"smtpd_recipient_limit": "1", "smtpd_recipient_overshoot_limit": "1", "disable_vrfy_command": "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ofRealHost(t, mailHost(t, main))
			for _, s := range []string{"anna@d.test", "nobody@d.test", "alias@d.test", "nobody+x@d.test"} {
				want := policy.Yes
				if strings.HasPrefix(s, "nobody") {
					want = policy.No
				}
				wantAll(t, p, []string{s, s}, want, "")
			}
		})
	}
}

// What a dictionary attack asks of a host: every answer is a no, and the host
// neither slows down nor hangs up, for no connection makes many errors.
func TestPostfixBears500Strangers(t *testing.T) {
	for _, vrfy := range []string{"no", "yes"} {
		t.Run("disable_vrfy_command="+vrfy, func(t *testing.T) {
			h := mailHost(t, map[string]string{"disable_vrfy_command": vrfy})
			var connections atomic.Int32
			p := ofRealHost(t, h, func(c *Config) {
				c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					connections.Add(1)
					return new(net.Dialer).DialContext(ctx, network, address)
				}
			})
			var asking sync.WaitGroup
			var next atomic.Int32
			for range 10 {
				asking.Go(func() {
					for n := next.Add(1); n <= 500; n = next.Add(1) {
						wantSays(t, p, fmt.Sprintf("nobody%d@d.test", n), policy.No)
					}
				})
			}
			asking.Wait()
			settle(t, p)
			p.Close()
			asked := 0
			sessions := waitSessions(t, h, int(connections.Load()))
			for _, s := range sessions {
				if s.errors > 9 || s.quit != 1 {
					t.Errorf("%d errors, %d QUIT: %s", s.errors, s.quit, s.line)
				}
				asked += s.asked
			}
			if asked < 501 || asked > 520 {
				t.Errorf("asked %d times for 500 answers", asked)
			}
			if log := h.Log(); strings.Contains(log, "too many errors") || regexp.MustCompile(`: 421 `).MatchString(log) {
				t.Error("the host hung up")
			}
		})
	}
}

// settle waits until no connection is on its way any more: one that is cut off by
// Close while it is opened says no QUIT.
func settle(t *testing.T, p *Prober) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		p.crowd.mu.Lock()
		coming := p.warming + p.crowd.coming + p.crowd.pipes
		p.crowd.mu.Unlock()
		p.mu.Unlock()
		if s := p.pool.Stat(); coming == 0 && s.ConstructingResources()+s.AcquiredResources() == 0 {
			return
		}
		if time.Since(begun) > patience {
			t.Fatal("connections are opened without end")
		}
	}
}

// loggedSession is what Postfix logs at the end of a session.
type loggedSession struct {
	line                string
	errors, asked, quit int
	ehlo                int
}

var (
	disconnected = regexp.MustCompile(`(?m)smtpd\[\d+\]: disconnect from .*$`)
	commandCount = regexp.MustCompile(`(\w+)=(\d+)(?:/(\d+))?`)
)

// waitSessions returns the sessions of the Prober, when the log has the end of all
// n. Postfix logs it when the client has gone already.
func waitSessions(t *testing.T, h *realhost.Host, n int) []loggedSession {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		if all := sessionsIn(h.Log()); len(all) == n {
			return all
		} else if time.Now().After(deadline) {
			t.Fatalf("%d sessions are in the log, want %d", len(all), n)
		}
	}
}

func sessionsIn(log string) (all []loggedSession) {
	for _, line := range disconnected.FindAllString(log, -1) {
		s := loggedSession{line: line}
		for _, m := range commandCount.FindAllStringSubmatch(line, -1) {
			good, _ := strconv.Atoi(m[2])
			total := good
			if m[3] != "" {
				total, _ = strconv.Atoi(m[3])
			}
			switch m[1] {
			case "commands":
				s.errors = total - good
			case "vrfy", "rcpt":
				s.asked += total
			case "quit":
				s.quit = total
			case "ehlo":
				s.ehlo = total
			}
		}
		if s.ehlo > 0 { // ours, also one that was opened ahead and not needed
			all = append(all, s)
		}
	}
	return all
}
