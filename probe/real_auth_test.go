package probe

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"postwhere/policy"
)

// The user that authServer knows.
const (
	authUser   = "prober@d.test"
	authSecret = "sesam öffne-dich, 42!"
)

// authServer lets a Postfix ask about users, by Dovecot's authentication
// protocol (version 1.2), of which it has what PLAIN and LOGIN need. It returns
// where it listens.
func authServer(t *testing.T, mechanisms ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			serving.Go(func() { serveAuth(c, mechanisms) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return "inet:" + l.Addr().String()
}

func serveAuth(c net.Conn, mechanisms []string) {
	defer c.Close()
	say := func(fields ...string) { _, _ = io.WriteString(c, strings.Join(fields, "\t")+"\n") }
	say("VERSION", "1", "2")
	for _, m := range mechanisms {
		say("MECH", m, "plaintext")
	}
	say("SPID", "1")
	say("CUID", "1")
	say("COOKIE", strings.Repeat("0", 32))
	say("DONE")
	heard := make(map[string][]string) // name and secret by the number of the dialogue
	in := bufio.NewScanner(c)
	for in.Scan() {
		fields := strings.Split(in.Text(), "\t")
		if len(fields) < 3 || fields[0] != "AUTH" && fields[0] != "CONT" {
			continue
		}
		id := fields[1]
		if fields[0] == "AUTH" && fields[2] == sasl.Login {
			say("CONT", id, base64.StdEncoding.EncodeToString([]byte("Username:")))
			continue
		}
		told, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[len(fields)-1], "resp="))
		heard[id] = append(heard[id], strings.Split(strings.TrimPrefix(string(told), "\x00"), "\x00")...)
		switch {
		case len(heard[id]) == 1:
			say("CONT", id, base64.StdEncoding.EncodeToString([]byte("Password:")))
		case slices.Equal(heard[id], []string{authUser, authSecret}):
			say("OK", id, "user="+authUser)
		default:
			say("FAIL", id, "user="+authUser)
		}
	}
}

// notebook takes all that is logged and traced.
type notebook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notebook) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notebook) add(format string, args ...any) {
	_, _ = fmt.Fprintf(n, format+"\n", args...)
}

func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// noted returns a log that goes there.
func noted(n *notebook) *slog.Logger {
	return slog.New(slog.NewTextHandler(n, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// A Postfix that answers only who has proved who he is, which it lets nobody do
// without TLS.
func TestPostfixWantsAUTH(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.certify(t, "mail.d.test", time.Hour)
	main := map[string]string{
		"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_tls_auth_only": "yes",
		"smtpd_client_restrictions": "permit_sasl_authenticated, reject",
	}
	right := Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test", User: authUser, Secret: authSecret}
	for name, c := range map[string]struct {
		mechanisms []string
		main       map[string]string
		change     func(*Security)
		want       string // "": it is asked; else why it is not
	}{
		"PLAIN":            {mechanisms: []string{"PLAIN", "LOGIN"}},
		"LOGIN":            {mechanisms: []string{"LOGIN"}},
		"unverified TLS":   {mechanisms: []string{"PLAIN"}, change: func(s *Security) { s.Level = TLSEncrypt }},
		"PLAIN by RCPT":    {mechanisms: []string{"PLAIN"}, main: map[string]string{"disable_vrfy_command": "yes"}},
		"wrong secret":     {mechanisms: []string{"PLAIN"}, change: func(s *Security) { s.Secret += "!" }, want: "535"},
		"by LOGIN":         {mechanisms: []string{"LOGIN"}, change: func(s *Security) { s.Secret += "!" }, want: "535"},
		"no AUTH from us":  {mechanisms: []string{"PLAIN"}, change: func(s *Security) { s.User = "" }, want: "Client host rejected"},
		"another's secret": {mechanisms: []string{"PLAIN"}, change: func(s *Security) { s.User = "else@d.test" }, want: "535"},
		"AUTH not offered": {main: map[string]string{"smtpd_sasl_auth_enable": "no"}, want: "neither AUTH PLAIN nor LOGIN"},
		"only CRAM-MD5":    {mechanisms: []string{"CRAM-MD5"}, want: "neither AUTH PLAIN nor LOGIN"},
		"not trusted":      {mechanisms: []string{"PLAIN"}, change: func(s *Security) { s.Name = "else.d.test" }, want: "not else.d.test"},
		"without TLS":      {mechanisms: []string{"PLAIN"}, change: func(s *Security) { s.Level = TLSNone }, want: "neither AUTH PLAIN nor LOGIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := tlsHost(t, cert, main, map[string]string{"smtpd_sasl_path": authServer(t, c.mechanisms...)}, c.main)
			security := right
			if c.change != nil {
				c.change(&security)
			}
			var notes notebook
			p := ofRealHost(t, h, func(cfg *Config) {
				cfg.Security = security
				cfg.Log = noted(&notes)
			})
			for _, s := range []string{"anna@d.test", "nobody@d.test", `"a b"@d.test`, "nobody@d.test", "anna@d.test", "nobody@d.test", "nobody@d.test"} {
				want := policy.Yes
				switch {
				case c.want != "":
					want = policy.Unsure
				case strings.HasPrefix(s, "nobody"):
					want = policy.No
				}
				got := askTraced(t, p, s, &notes)
				if got.Says != want || !strings.Contains(got.Why, c.want) {
					t.Errorf("%s: %s (%s %q %s), want %s %s", s, got.Says, got.Method, got.Reply, got.Why, want, c.want)
				}
				notes.add("%+v", got)
			}
			p.Close()
			all := notes.String()
			for _, secret := range secrets(security) {
				if strings.Contains(all, secret) {
					t.Errorf("%q can be read in\n%s", secret, all)
				}
			}
			if c.want == "" && !strings.Contains(all, "(secret)") {
				t.Errorf("no AUTH in the trace:\n%s", all)
			}
		})
	}
}

// A host repeats what it was told, in the words of its questions and of its
// refusal. It is in no trace, error or log all the same.
func TestHostThatRepeatsTheSecret(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			h := newHost(t, func(d *dialogue, verb, arg string) string {
				switch verb {
				case "EHLO":
					return "250-fake.test\n250 AUTH " + mechanism
				case "GREETING", "QUIT", "*":
					return ""
				case "AUTH":
					if mechanism == "LOGIN" {
						return "334 " + base64.StdEncoding.EncodeToString([]byte("Who is it?"))
					}
					return "535 5.7.8 No: " + arg + " is " + authSecret
				}
				told := d.heard[len(d.heard)-1] // verb is in upper case
				if strings.HasPrefix(d.heard[len(d.heard)-2], "AUTH") {
					return "334 " + told // the name, as it was given
				}
				return "535 5.7.8 No: " + told + " is " + authSecret
			})
			var notes notebook
			security := Security{Level: TLSNone, User: authUser, Secret: authSecret}
			p := ofHost(t, h, func(cfg *Config) { cfg.Log, cfg.Security = noted(&notes), security })
			got := askTraced(t, p, "anna@d.test", &notes)
			if got.Says != policy.Unsure || !strings.Contains(got.Why, "535 No: ") {
				t.Errorf("%s %s", got.Says, got.Why)
			}
			notes.add("%+v", got)
			p.Close()
			for _, secret := range secrets(security) {
				if all := notes.String(); strings.Contains(all, secret) {
					t.Errorf("%q can be read in\n%s", secret, all)
				}
			}
		})
	}
}

// askTraced asks and notes the dialogue.
func askTraced(t *testing.T, p *Prober, s string, notes *notebook) policy.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return p.Ask(WithTrace(ctx, func(host string, sent bool, line string) {
		notes.add("%s %t %s", host, sent, line)
	}), address(t, s))
}

// secrets returns what must not be read anywhere: the secret, and how it goes
// over the wire.
func secrets(s Security) []string {
	encode := base64.StdEncoding.EncodeToString
	return []string{authSecret, encode([]byte(s.Secret)), encode([]byte("\x00" + s.User + "\x00" + s.Secret))}
}
