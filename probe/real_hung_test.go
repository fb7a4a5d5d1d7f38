package probe

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// masterOf returns the process that runs a Postfix.
func masterOf(t *testing.T, h *realhost.Host) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.Dir(), "queue", "pid", "master.pid"))
	if err != nil {
		t.Fatal(err)
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return master
}

// childrenOf returns the processes that it has started.
func childrenOf(t *testing.T, master int) (children []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		text, _ := os.ReadFile(file) // it may have ended
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(master) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			children = append(children, pid)
		}
	}
	return children
}

// freeze stops a Postfix with all its processes, until the returned function or the
// end of the test.
func freeze(t *testing.T, h *realhost.Host) (goOn func()) {
	t.Helper()
	master := masterOf(t, h)
	if err := syscall.Kill(master, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	children := childrenOf(t, master)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	goOn = sync.OnceFunc(func() {
		for _, pid := range append(children, master) {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	})
	t.Cleanup(goOn) // or it could not be stopped
	return goOn
}

// A host that hangs costs who asks first the time-out for a greeting, and nobody else
// anything.
func TestPostfixHangs(t *testing.T) {
	t.Parallel()
	h := postfix(nil)(t)
	const timeout = time.Second
	p := ofRealHost(t, h, func(cfg *Config) { cfg.ReplyTimeout = timeout })
	goOn := freeze(t, h)
	if got := wantSays(t, p, "anna@d.test", policy.Unsure); got.Took < timeout {
		t.Errorf("it was known after %v", got.Took)
	}
	wantNoFurtherWait(t, p, timeout)
	goOn()
	waitUp(t, p)
	wantAll(t, p, mailboxes, policy.Yes, "")
}

// With connections at rest it costs who asks first the one for a reply, too. Nobody
// tries the others.
func TestPostfixHangsWithConnectionsAtRest(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	ca := newAuthority(t)
	cfg := tlsConfig(ca.certify(t, "mail.d.test", time.Hour))
	around := freeAddr(t)
	cfg.Master = []string{around + " inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"}
	h := cfg.MailHost(t, "d.test", mailboxes...)
	for name, change := range map[string]func(*Config){
		"plain":      func(c *Config) { c.Security.Level = TLSNone },
		"STARTTLS":   func(c *Config) { c.Security.Level = TLSEncrypt },
		"TLS around": func(c *Config) { c.Security.Wrapper, c.Endpoint.Address = true, around },
	} {
		t.Run(name, func(t *testing.T) {
			p := ofRealHost(t, h, change, func(c *Config) { c.ReplyTimeout, c.Method, c.Connections = timeout, RCPT, 5 })
			var askers sync.WaitGroup
			for range 30 {
				askers.Go(func() { wantSays(t, p, "anna@d.test", policy.Yes) })
			}
			askers.Wait()
			if n := p.pool.Stat().IdleResources(); n < 2 {
				t.Fatalf("%d connections at rest", n)
			}
			goOn := freeze(t, h)
			began := time.Now()
			wantSays(t, p, "anna@d.test", policy.Unsure)
			if took := time.Since(began); took < 2*timeout {
				t.Errorf("it was known after %v", took)
			}
			wantNoFurtherWait(t, p, timeout)
			goOn()
			waitUp(t, p)
			wantAll(t, p, mailboxes, policy.Yes, "")
		})
	}
}

// wantNoFurtherWait asks a host that is known to be down.
func wantNoFurtherWait(t *testing.T, p *Prober, timeout time.Duration) {
	t.Helper()
	began := time.Now()
	for range 1000 {
		wantSays(t, p, "anna@d.test", policy.Unsure)
	}
	if took := time.Since(began); took > 100*timeout { // 1000 of them if each had waited
		t.Errorf("1000 questions took %v", took)
	}
}

// waitUp waits until the host is known to be up, and asks nothing.
func waitUp(t *testing.T, p *Prober) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); p.health.err() != nil; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("still down: %v", p.health.err())
		}
	}
}
