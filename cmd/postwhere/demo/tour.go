package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/policy"
)

// tour is one run of the demonstration.
type tour struct {
	out    io.Writer
	file   string // the configuration
	hosts  []*MailHost
	daemon *daemon.Daemon
	steps  int
	wrong  int

	mu   sync.Mutex
	last policy.Finding // of the policy face
}

// unsureTime is how long the demonstration's daemon leaves a host alone that
// could not be asked: shorter than by default, so that the tour is.
const unsureTime = 300 * time.Millisecond

// senderPatience is how long a sender of the tour tries.
const senderPatience = 8 * time.Second

// Run starts three mail hosts and the daemon, and goes through every verdict. With
// stay it keeps them up until SIGTERM, SIGINT or the end of ctx. The error may say that
// a verdict was not as expected.
func Run(ctx context.Context, out io.Writer, stay bool) error {
	t := &tour{out: out}
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer cancel()
	dir, err := os.MkdirTemp("", "postwhere-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // our own folder, below the temporary one
	defer t.close()
	if err := t.open(dir); err != nil {
		return err
	}
	t.introduce()
	if err := t.walk(ctx); err != nil {
		return err
	}
	if t.wrong > 0 {
		return fmt.Errorf("demo: %d of %d verdicts were not as expected", t.wrong, t.steps)
	}
	t.say("All %d verdicts were as expected. No mailbox that exists was refused, whatever was down.", t.steps)
	if stay {
		t.invite()
		<-ctx.Done()
	}
	return nil
}

// open starts the hosts and the daemon.
func (t *tour) open(dir string) error {
	text := fmt.Sprintf(`[listen]
policy    = ["inet:127.0.0.1:0"]
milter    = []
socketmap = ["inet:127.0.0.1:0"]
control   = ["unix:%s/control"]

[cache]
file = ""
unsure_expire = "%dms"

[[domain]]
name  = "example.com"
hosts = ["mail1", "mail2", "mail3"]
`, dir, unsureTime.Milliseconds())
	for _, h := range []struct {
		name      string
		mailboxes []string
	}{
		{"mail1", []string{"anna@example.com"}},
		{"mail2", []string{"bert@example.com"}},
		{"mail3", []string{"carla@example.com", "dora@example.com"}},
	} {
		host, err := NewMailHost(h.name, h.mailboxes...)
		if err != nil {
			return err
		}
		t.hosts = append(t.hosts, host)
		text += fmt.Sprintf("\n[host.%s]\nprobe = \"smtp:inet:%s\"\n", h.name, host.Address())
	}
	t.file = filepath.Join(dir, "postwhere.toml")
	cfg, err := config.Parse(t.file, text)
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.file, []byte(text), 0o600); err != nil {
		return err
	}
	t.daemon = daemon.New(maillog.New(io.Discard), t.overhear)
	return t.daemon.Adopt(cfg)
}

// overhear keeps what the policy face found, to show it.
func (t *tour) overhear(r policy.Request, f policy.Finding, _ error, _ time.Duration) {
	if r.Face == "policy" {
		t.mu.Lock()
		t.last = f
		t.mu.Unlock()
	}
}

func (t *tour) close() {
	if t.daemon != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = t.daemon.Shutdown(ctx)
	}
	for _, h := range t.hosts {
		h.Stop()
	}
}

// walk goes through every verdict.
func (t *tour) walk(ctx context.Context) error {
	mail3 := t.hosts[2]
	for _, leg := range []struct {
		say   string
		act   func() error
		stops []stop
	}{
		{"All hosts are up.", nil, []stop{
			{"anna's mailbox is on mail1", "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch},
			{"bert's is on mail2", "bert@example.com", policy.Deliver, "mail2", policy.SourceSearch},
			{"carla's is on mail3", "carla@example.com", policy.Deliver, "mail3", policy.SourceSearch},
			{"once more: nobody is asked again", "carla@example.com", policy.Deliver, "mail3", policy.SourceMemory},
			{"nobody has emil, and every host said so", "emil@example.com", policy.Reject, "", policy.SourceSearch},
			{"another domain is none of postwhere's business", "anna@elsewhere.example", policy.Pass, "", policy.SourceNone},
		}},
		{"mail3 goes down.", func() error { mail3.Stop(); return nil }, []stop{
			{"bert is not on mail3", "bert@example.com", policy.Deliver, "mail2", ""},
			{"carla is, and is remembered: her mail is accepted and waits in Postfix's queue", "carla@example.com", policy.Deliver, "mail3", policy.SourceMemory},
			{"dora has never been looked up: mail3 might have her, so the sender is to try again", "dora@example.com", policy.Defer, "", policy.SourceSearch},
			{"so too somebody whom nobody has: it cannot be known yet", "frida@example.com", policy.Defer, "", policy.SourceSearch},
		}},
		{"mail3 is back, and the senders try again.", mail3.Start, []stop{
			{"dora is found", "dora@example.com", policy.Deliver, "mail3", policy.SourceSearch},
			{"and frida is refused", "frida@example.com", policy.Reject, "", policy.SourceSearch},
		}},
	} {
		t.say("== %s\n", leg.say)
		if leg.act != nil {
			if err := leg.act(); err != nil {
				return err
			}
		}
		for _, s := range leg.stops {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := t.look(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tour) say(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format+"\n", args...) }
