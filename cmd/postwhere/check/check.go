// Package check looks at all that has to be so for mail to flow: the hosts, the shared
// memory, the daemon and Postfix. It says what it saw and what to do, and changes nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"postwhere/cache"
	"postwhere/cache/shared"
	"postwhere/cmd/postwhere/attach"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/postfix"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
	"postwhere/probe"
)

// checkup is one run of check: a line for each thing looked at.
type checkup struct {
	attach.Spelling
	out      io.Writer
	file     string // of cfg
	cfg      *config.Config
	conf     postfix.Conf
	unread   error // why conf is nothing
	attached []asked
	trace    bool
	unkept   bool     // it was said that memory cannot be kept
	unknown  []string // hosts, and domains, whose names cannot be looked up
	failed   bool
}

func (k *checkup) ok(what, format string, args ...any)   { k.say("ok  ", what, format, args...) }
func (k *checkup) note(what, format string, args ...any) { k.say("note", what, format, args...) }
func (k *checkup) fail(what, format string, args ...any) {
	k.failed = true
	k.say("FAIL", what, format, args...)
}

func (k *checkup) say(grade, what, format string, args ...any) {
	_, _ = fmt.Fprintf(k.out, "%s  %s: %s\n", grade, what, fmt.Sprintf(format, args...))
}

// All looks at a configuration, which was read from file, at its hosts and at
// Postfix's side, and writes to out a line for each thing; with trace the dialogue with
// each host, too. fine is false if a line says FAIL. The error says that the
// configuration cannot be used.
func All(ctx context.Context, out io.Writer, file string, cfg *config.Config, trace bool) (fine bool, err error) {
	k := &checkup{out: out, file: file, cfg: cfg, trace: trace}
	k.ok("configuration", "%s, %d domain(s)", file, len(cfg.Domain))
	k.asDaemon(ctx)
	if err := k.allHosts(ctx); err != nil {
		return false, err
	}
	k.shared(ctx)
	k.readPostfix(ctx)
	k.daemon(ctx)
	k.postfix(ctx)
	return !k.failed, nil
}

// Hosts is All of the hosts alone. Unknown are those whose names cannot be looked
// up.
func Hosts(ctx context.Context, out io.Writer, cfg *config.Config) (fine bool, unknown []string, err error) {
	k := &checkup{out: out, cfg: cfg}
	err = k.allHosts(ctx)
	return !k.failed, k.unknown, err
}

// allHosts asks the hosts of all domains.
func (k *checkup) allHosts(ctx context.Context) error {
	memory, err := cache.New(k.cfg.MemoryOptions())
	if err != nil {
		return err
	}
	w, err := world.New(ctx, k.cfg, memory, world.Past{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer w.Close(ctx)
	for _, d := range w.Domains {
		if err := w.ResolveMX(ctx, d.Names[0]); err != nil {
			k.fail("domain "+d.Names[0], "%v", err)
			k.noteUnknown(d.Names[0], err)
		}
		k.hosts(ctx, d)
	}
	return nil
}

// hosts asks all hosts of a domain at once, and speaks of them in order.
func (k *checkup) hosts(ctx context.Context, d *policy.Domain) {
	hosts := d.Hosts()
	learnt := make([][]probe.Calibration, len(hosts))
	failed := make([]error, len(hosts))
	said := make([]world.Dialogue, len(hosts))
	var asking sync.WaitGroup
	for i, h := range hosts {
		asking.Go(func() {
			ctx := probe.WithTrace(ctx, said[i].Note)
			learnt[i], failed[i] = world.ProberOf(h).Calibrate(ctx, d.AsksAbout())
		})
	}
	asking.Wait()
	for i, h := range hosts {
		k.host("host "+h.Name, d, d.Names[0], h, learnt[i], failed[i])
		k.noteUnknown(h.Name, failed[i])
		if k.trace {
			for _, line := range said[i].Heard() {
				_, _ = fmt.Fprintln(k.out, line)
			}
		}
		k.route(ctx, h)
		k.delivery(h)
		if failed[i] == nil {
			k.otherNames(ctx, d, h)
		}
	}
}

// mostNames are how many further names of a domain each host is asked about.
const mostNames = 20

// otherNames speaks of names of the domain that the host does not tell about as it should: it
// may have been told of the first one only.
func (k *checkup) otherNames(ctx context.Context, d *policy.Domain, h *policy.Host) {
	if d.AskAs != "" {
		return // it is asked about that one alone
	}
	names := d.Names[1:]
	if len(names) > mostNames {
		k.note("host "+h.Name, "is asked about the first %d of %d names of %s", mostNames+1, len(d.Names), d.Names[0])
		names = names[:mostNames]
	}
	for _, name := range names {
		learnt, err := world.ProberOf(h).Calibrate(ctx, name)
		if err == nil && learnt[len(learnt)-1].Why == "" {
			k.toldApart(ctx, d, name, h)
			continue
		}
		k.host("host "+h.Name, d, name, h, learnt, err)
	}
}

// toldApart mentions a name of the domain by which the host refuses whom it has by the first
// one: it may do so with everybody, in the words in which it refuses a stranger.
func (k *checkup) toldApart(ctx context.Context, d *policy.Domain, name string, h *policy.Host) {
	local := "postmaster"
	if c := k.cfg.Host[h.Name]; c != nil {
		if control, err := policy.ParseAddress(c.Control); err == nil {
			local = control.Local()
		}
	}
	has, lacks := policy.AddressOf(local, d.Names[0]), policy.AddressOf(local, name)
	if h.Prober.Ask(ctx, lacks).Says == policy.No && h.Prober.Ask(ctx, has).Says == policy.Yes {
		k.note("host "+h.Name, "has %s, and refuses %s as it does an unknown address: does it know %s for a name of the domain? "+
			"If mail by both names is the same mailboxes' say ask_as = %q, else let it have %s among its own domains", has, lacks, name, d.Names[0], name)
	}
}

func (k *checkup) noteUnknown(name string, err error) {
	if errors.As(err, new(*net.DNSError)) && !slices.Contains(k.unknown, name) {
		k.unknown = append(k.unknown, name)
	}
}

// delivery mentions that Postfix delivers in another way than the host is asked in.
func (k *checkup) delivery(h *policy.Host) {
	c := k.cfg.Host[h.Name]
	if c == nil || !strings.HasPrefix(h.Route, k.cfg.Postfix.Transport+":") {
		return
	}
	var lacks []string
	if c.User != "" {
		lacks = append(lacks, "the password that it is asked with (smtp_sasl_password_maps)")
	}
	if c.TLSWrappermode {
		lacks = append(lacks, "the TLS that begins at once (smtp_tls_wrappermode)")
	}
	if len(lacks) > 0 {
		k.note("host "+h.Name, "Postfix sends its mail to %s, and needs %s there, too, if it is the same port: else say route in [host.%q]",
			h.Route, strings.Join(lacks, " and "), h.Name)
	}
}

// routeHost is the host in a transport(5) value that is not looked up by MX.
var routeHost = regexp.MustCompile(`^[^:]*:\[([^\]]+)\]`)

// route looks whether the name that mail goes to is one: Postfix bounces what it
// cannot find.
func (k *checkup) route(ctx context.Context, h *policy.Host) {
	m := routeHost.FindStringSubmatch(h.Route)
	if len(m) < 2 || net.ParseIP(strings.TrimPrefix(m[1], "ipv6:")) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(k.cfg.Probe.ConnectTimeout))
	defer cancel()
	if _, err := net.DefaultResolver.LookupHost(ctx, m[1]); err != nil {
		k.fail("host "+h.Name, "mail for its mailboxes goes to %s, and %v: Postfix would bounce it. Say route in [host.%q]", h.Route, err, h.Name)
	}
}

// host says how a host answers about a name of the domain.
func (k *checkup) host(what string, d *policy.Domain, name string, h *policy.Host, learnt []probe.Calibration, err error) {
	section := fmt.Sprintf("[host.%q]", h.Name)
	if err != nil {
		settings, _ := k.cfg.HostOf(h.Name) // they were good enough for the host to be asked
		k.fail(what, "%v. %s Until then %s", err, adviceOnFailure(err, settings, section), world.Consequence(d, h))
		return
	}
	c := learnt[len(learnt)-1] // the method in use, or the last one tried
	switch {
	case h.LastResort && !c.Tells:
		k.ok(what, "%s: the last resort, it gets what every other host says no to (%s)", name, c.Why)
	case c.AcceptsAll:
		k.fail(what, "%s %s. Nothing it says can be believed: give it the list of its mailboxes (Postfix: relay_recipient_maps or virtual_mailbox_maps), or take this machine out of its mynetworks; if it owns whatever no other host has, say last_resort = true in %s", name, c.Why, section)
	case !c.Tells:
		k.fail(what, "%s: %s. Its answers are unsure%s", name, c.Why, adviceOn(c, name, section))
	case c.Why != "":
		k.fail(what, "%s: %s. %s", name, c.Why, adviceOnControl(c, section))
	default:
		k.ok(what, "%s: asked by %s, refuses unknown addresses with %q", name, c.Method, c.Refusal)
	}
}

// shared looks whether the shared memory does what it has to.
func (k *checkup) shared(ctx context.Context) {
	server := k.cfg.Cache.Shared.Server
	if server.Address == "" {
		return
	}
	switch took, err := shared.Check(ctx, server); {
	case err != nil:
		k.fail("shared memory", "%s: %s. Until it can be used each front end goes on alone", server, strings.TrimSuffix(err.Error(), "."))
	default:
		k.ok("shared memory", "%s answers in %s", server, took.Round(10*time.Microsecond))
	}
}

// daemon looks whether one answers at the control socket, and, if Postfix is
// attached, at the doors that it asks at.
func (k *checkup) daemon(ctx context.Context) {
	dead := k.deadDoors(ctx)
	client := control.NewClient(k.cfg)
	if client == nil {
		k.note("daemon", "listen.control is empty, so query cannot ask it")
		if len(dead) > 0 {
			k.fail("daemon", "nobody listens at %s, which Postfix asks: mail waits until `postwhere serve` runs", strings.Join(dead, ", "))
		}
		return
	}
	defer client.Close()
	switch _, err := client.Query(ctx, "postmaster@invalid"); {
	case errors.Is(err, control.ErrNoDaemon) && len(k.attached) > 0:
		k.fail("daemon", "none is running at %s, and Postfix is attached to it: its mail waits, and clients get 4xx, until `systemctl start postwhere`, or `postwhere serve`, runs it", k.cfg.Listen.Control[0])
	case errors.Is(err, control.ErrNoDaemon):
		k.note("daemon", "none is running at %s: start it by `systemctl enable --now postwhere`, or `postwhere serve` where there is no systemd", k.cfg.Listen.Control[0])
	case err != nil:
		k.fail("daemon", "cannot be asked at %s: %v", k.cfg.Listen.Control[0], err)
	default:
		k.ok("daemon", "runs and answers at %s", k.cfg.Listen.Control[0])
		if len(dead) > 0 {
			k.fail("daemon", "it runs, and nobody listens at %s, which Postfix asks: has it read this configuration? Start it anew", strings.Join(dead, ", "))
		}
		k.standing(ctx, client)
		k.running(ctx, client)
		k.kept(ctx, client)
	}
}

// kept mentions that the daemon cannot keep its memory over a restart: a file that is
// another user's, who has once run it by hand, is seen nowhere else.
func (k *checkup) kept(ctx context.Context, client *control.Client) {
	switch s, err := client.Stats(ctx); {
	case err != nil:
		k.fail("daemon", "cannot be asked about its memory: %v", err)
	case s.Why != "" && !k.unkept:
		k.note("memory", "is not kept over a restart in %s: %s. The disk must have room, and the file be the daemon's user's; it may be removed", s.File, s.Why)
	}
}

// running speaks of what the daemon alone knows of the hosts: that somebody has taken one out
// of the asking, and may have forgotten it, and that one denies what it had.
func (k *checkup) running(ctx context.Context, client *control.Client) {
	all, err := client.Hosts(ctx)
	if err != nil {
		k.fail("daemon", "cannot be asked about its hosts: %v", err)
	}
	for _, h := range all {
		if h.State == control.HostDrained {
			k.note("host "+h.Host, "%s, by the running daemon: `postwhere undrain %s` takes it back", h.InWords(), h.Host)
		}
		for _, d := range h.Denies {
			k.fail("host "+h.Host, "%s. Its no is not believed until it has one of them again: is its directory whole? If they have all moved away, take it out of hosts", d)
		}
	}
}
