package probe

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postwhere/policy"
)

// startTLSHost is a host that has anna and nobody else, by VRFY, and TLS. Somebody on
// the way puts plain text behind its agreement to TLS.
func startTLSHost(t *testing.T, injected string, late bool) (addr string) {
	t.Helper()
	cert := newAuthority(t).certify(t, "mail.d.test", time.Hour)
	pair, err := tls.X509KeyPair([]byte(cert.pem), []byte(cert.pem))
	if err != nil {
		t.Fatal(err)
	}
	tells := has(true, "anna")
	serve := func(conn net.Conn) {
		secure := false
		say := func(lines string) { _, _ = io.WriteString(conn, lines) }
		say("220 fake.test ESMTP\r\n")
		for in := bufio.NewReader(conn); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch said := tells(nil, verb, arg); {
			case verb == "STARTTLS" && late:
				say("220 2.0.0 Ready to start TLS\r\n")
				time.Sleep(5 * time.Millisecond) // behind the beginning of the handshake
				say(injected)
				return
			case verb == "STARTTLS":
				say("220 2.0.0 Ready to start TLS\r\n" + injected)
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}})
				in, secure = bufio.NewReader(conn), true
			case verb == "EHLO" && !secure:
				say("250-fake.test\r\n250 STARTTLS\r\n")
			case said == "":
				say(strings.ReplaceAll(usual(verb), "\n", "\r\n") + "\r\n")
			default:
				say(said + "\r\n")
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := newPipeHost(nil)
	h.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.dialogues = append(h.dialogues, &dialogue{conn: conn})
			h.mu.Unlock()
			h.conns.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); h.cut(); h.conns.Wait() })
	return l.Addr().String()
}

// What stands behind the agreement to TLS in plain text was not said by the host: it
// is the answer to nothing that is asked under TLS (RFC 3207 section 6).
func TestPlainTextBehindSTARTTLSIsNoAnswer(t *testing.T) {
	evil := "250-fake.test\r\n250 SMTPUTF8\r\n" + strings.Repeat("550 5.1.1 User unknown\r\n", 5)
	for name, injected := range map[string]string{
		"replies": evil, "a no": "550 5.1.1 <anna@d.test>: User unknown\r\n", "a goodbye first": "421 4.3.2 wait\r\n" + evil, "half a line": "550 5.1.1",
	} {
		for _, level := range []TLSLevel{TLSMay, TLSEncrypt} {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, late %v", name, level, late), func(t *testing.T) {
					addr := startTLSHost(t, injected, late)
					p := ofHost(t, &fakeHost{addr: addr}, func(c *Config) { c.Security.Level, c.ReplyTimeout = level, time.Second })
					if got := ask(t, p, "anna@d.test"); got.Says == policy.No {
						t.Errorf("no: %q", got.Reply)
					}
				})
			}
		}
	}
	p := ofHost(t, &fakeHost{addr: startTLSHost(t, "", false)}, func(c *Config) { c.Security.Level = TLSEncrypt })
	wantSays(t, p, "anna@d.test", policy.Yes)
	wantSays(t, p, "nobody@d.test", policy.No)
}
