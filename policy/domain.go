package policy

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Prober asks one host about one address. The question is put in the address's
// own spelling. It never fails: what could not be found out is an Unsure answer.
// It returns soon after ctx ends, and is called concurrently.
type Prober interface {
	Ask(ctx context.Context, a Address) Answer
}

// ProberFunc makes a Prober of a function.
type ProberFunc func(ctx context.Context, a Address) Answer

// Ask calls f.
func (f ProberFunc) Ask(ctx context.Context, a Address) Answer { return f(ctx, a) }

// Host is one mailbox host of a domain: where to ask and where to send.
type Host struct {
	Name        string // as in the configuration, or from MX
	Route       string // transport(5) value that leads to it: "smtp:[NAME]:25"
	Mailer      string // Sendmail's mailer:host that leads to it: "esmtp:[NAME]"; "": none is known
	AliasDomain string // pseudo-domain that the alias map sends its mailboxes to
	Prober      Prober

	// LastResort: the host owns what every other host of the domain said No to,
	// even if it is Unsure itself: it accepts everything, is down, or does not
	// answer within a third of Options.Deadline; see Decide.
	LastResort bool
	// Names are what the host is called, besides Name, as no client may hear it.
	Names []string
	// Addresses tells whether an IP address, not mapped and without a zone, is
	// known to be the host's. It does no I/O, and is called concurrently. nil:
	// none are known.
	Addresses func(netip.Addr) bool
	// Drained tells whether the host is out of the asking: it is Unsure at once, as
	// one that is down, and nobody is refused while it is, whatever it said before.
	// What it is known to have is delivered to it still. It does no I/O, and is
	// called concurrently. nil: it is not.
	Drained func() bool
	// Revoked tells whether the host's no about an address of a domain, which is as old as
	// that, is not to be believed: it was found since to deny what it had. Vouched tells
	// whether one that is remembered, from that time, would be believed if the host said it
	// now. They do no I/O, and are called concurrently. nil: none is revoked, and each would.
	Revoked func(domain string, no time.Time) bool
	Vouched func(domain string, no, now time.Time) bool
	// Saw is told of a mailbox that another front end has heard the host say it has, and when.
	// It does no I/O, and is called concurrently. nil: nobody need know.
	Saw func(a Address, at time.Time)
}

func (h *Host) drained() bool { return h.Drained != nil && h.Drained() }

func (h *Host) revoked(domain string, no time.Time) bool {
	return h.Revoked != nil && h.Revoked(domain, no)
}

func (h *Host) vouched(domain string, no, now time.Time) bool {
	return h.Vouched == nil || h.Vouched(domain, no, now)
}

// Domain is a distributed domain: its names, and its hosts in order of
// preference. The exported fields do not change once a Searcher has it; the
// hosts may, at any time.
type Domain struct {
	// Names are all names of the domain, as NormalDomain returns them, the first
	// of them the one that the log shows.
	Names []string
	// AskAs is the spelling of the domain that is put to the hosts, verbatim,
	// whichever of Names the recipient had: one mailbox, one entry in memory.
	// "": hosts are asked about the name that the recipient had.
	AskAs string
	// Delimiter is Postfix's recipient_delimiter: a mailbox that nobody has by its
	// full name is looked for without its extension. "": there are no extensions.
	Delimiter string
	// Owners are the addresses that are settled without asking, as Key returns
	// them with the first of Names for domain, and the names of their hosts.
	Owners map[string]string
	// PassUnsure lets recipients in at the door where the verdict is Defer; their
	// mail waits in the queue until the hosts can be asked.
	PassUnsure bool
	// HostText tells the client of a Reject what the first of the hosts said,
	// unless that would give away a host.
	HostText bool
	// NoLife is how long a host's no counts, from its At. 0: however long a search takes.
	NoLife time.Duration

	hosts atomic.Pointer[[]*Host]
}

// SetHosts sets the domain's hosts in order of preference. The slice must not be
// changed afterwards. Searches under way keep the hosts that they began with.
func (d *Domain) SetHosts(hosts []*Host) { d.hosts.Store(&hosts) }

// Hosts returns the hosts in order of preference, none if they are not known
// yet (MX). The slice must not be changed.
func (d *Domain) Hosts() []*Host {
	if p := d.hosts.Load(); p != nil {
		return *p
	}
	return nil
}

// host returns the host of that name, nil if the domain has none.
func (d *Domain) host(name string) *Host {
	for _, h := range d.Hosts() {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// drainedBut returns a host of the domain that is drained, other than that one; nil
// if none is.
func (d *Domain) drainedBut(owner *Host) *Host {
	for _, h := range d.Hosts() {
		if h != owner && h.drained() {
			return h
		}
	}
	return nil
}

// hasClient tells whether a client's address is known to be one of the hosts'.
func (d *Domain) hasClient(client string) bool {
	ip, err := netip.ParseAddr(client)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(d.Hosts(), func(h *Host) bool { return h.Addresses != nil && h.Addresses(ip) })
}

// asked returns the address as the hosts know it.
func (d *Domain) asked(a Address) Address {
	if d.AskAs != "" {
		return a.At(d.AskAs)
	}
	return a
}

// settled returns the host that the list of owners has for the first of the
// addresses that is in it, nil if none is.
func (d *Domain) settled(addresses ...Address) *Host {
	if len(d.Owners) == 0 {
		return nil
	}
	var room [keyRoom]byte
	for _, a := range addresses {
		if name, ok := d.Owners[string(a.At(d.Names[0]).appendKey(room[:0]))]; ok {
			return d.host(name)
		}
	}
	return nil
}

// AsksAbout returns the spelling of the domain that hosts are asked about, for a
// recipient with the first of its names.
func (d *Domain) AsksAbout() string {
	if d.AskAs != "" {
		return d.AskAs
	}
	return d.Names[0]
}
