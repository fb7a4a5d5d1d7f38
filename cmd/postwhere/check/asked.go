package check

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/postfix"
)

// asked is a place that Postfix asks, as it stands in main.cf or master.cf.
type asked struct {
	parameter string // SERVICE/TYPE before it, if it is that service's own
	face      string // policy, milter, socketmap
	at        string // inet:HOST:PORT or unix:PATH
	ours      bool
	likely    bool // to be a door of ours of another time
}

// askedBy returns who is asked about recipients, each once.
func (k *checkup) askedBy() []asked {
	var all []asked
	for _, p := range []string{"smtpd_recipient_restrictions", "smtpd_relay_restrictions", "smtpd_milters", "relay_recipient_maps", "relay_domains", "transport_maps", "virtual_alias_maps"} {
		all = append(all, k.askedIn(p, p, k.conf.Value(p))...)
		for _, s := range k.conf.Services {
			if value, own := s.Option(p); own {
				all = append(all, k.askedIn(p, s.Key()+"/"+p, value)...)
			}
		}
	}
	return all
}

// askedSocketmap is a map of ours, or one that looks like it.
var askedSocketmap = regexp.MustCompile(`^(?:proxy:)?socketmap:((?:inet|unix):.+):(transport|recipient|domain|alias)$`)

// askedIn returns who is asked by the value of a parameter.
func (k *checkup) askedIn(parameter, where, value string) []asked {
	var all []asked
	before := ""
	for _, word := range postfix.Words(value) {
		head := strings.Trim(strings.SplitN(strings.Trim(word, "{ }"), ",", 2)[0], " ")
		a := asked{parameter: where, at: head}
		var listen []config.Listener
		switch {
		case before == "check_policy_service":
			a.face, a.likely, listen = "policy", true, k.cfg.Listen.Policy
		case parameter == "smtpd_milters":
			a.face, a.likely, listen = "milter", strings.Contains(word, "default_action=tempfail"), k.cfg.Listen.Milter
		default:
			if m := askedSocketmap.FindStringSubmatch(word); m != nil {
				a.face, a.at, a.likely, listen = "socketmap", m[1], true, k.cfg.Listen.Socketmap
			}
		}
		before = word
		if a.face != "" {
			a.ours = k.Names(a.at, listen, "")
			all = append(all, a)
		}
	}
	return all
}

// deadDoors returns where Postfix asks us and nobody listens.
func (k *checkup) deadDoors(ctx context.Context) []string {
	var dead []string
	for _, a := range k.attached {
		if k.nobodyAt(ctx, a.at) && !slices.Contains(dead, a.at) {
			dead = append(dead, a.at)
		}
	}
	return dead
}

// stale speaks of places that nobody listens at and that may have been ours.
func (k *checkup) stale(ctx context.Context) {
	listen := map[string][]config.Listener{"policy": k.cfg.Listen.Policy, "milter": k.cfg.Listen.Milter, "socketmap": k.cfg.Listen.Socketmap}
	for _, a := range k.askedBy() {
		if a.ours || !a.likely || !k.nobodyAt(ctx, a.at) {
			continue
		}
		here := "does not listen for that at all"
		if doors := listen[a.face]; len(doors) > 0 {
			here = "listens at " + k.Of(doors[0])
		}
		k.fail("postfix", "%s asks at %s, where nobody listens: mail is put off for it. postwhere %s: take the old one out, or let `postwhere postfix --apply` change what it has made", a.parameter, a.at, here)
	}
}

// nobodyAt tells whether a place on this machine is free. Others are not tried.
func (k *checkup) nobodyAt(ctx context.Context, at string) bool {
	network, address, _ := strings.Cut(at, ":")
	switch network {
	case "unix":
		if !filepath.IsAbs(address) {
			address = filepath.Join(k.QueueDirectory(), address)
		}
	case "inet":
		host, port, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && !ip.IsLoopback() {
			return false
		}
		network, address = "tcp", net.JoinHostPort(host, port)
	default:
		return false
	}
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
	}
	_ = conn.Close()
	return false
}
