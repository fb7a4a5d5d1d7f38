package policy

import (
	"net/netip"
	"strings"
)

// NullSender is Request.Sender where the sender is the null one.
const NullSender = "<>"

// Bypass says who gets past the search at the door: the recipient is let in
// unasked. The zero value is nobody. It must not be changed once a Searcher has
// it, and may be used concurrently.
type Bypass struct {
	Networks      []netip.Prefix // of clients, masked
	Authenticated bool           // clients that have logged in
	// Senders and Recipients are patterns as ParsePattern returns them.
	Senders, Recipients []Pattern
}

// Pattern matches addresses: one, all of a domain, or all of one local part. Case
// does not matter.
type Pattern struct {
	local, domain string // in lower case; "": any
	null          bool   // only the null sender
}

// ParsePattern reads a pattern as access(5) has it: user@example.com, example.com,
// user@, or <> for the null sender.
func ParsePattern(s string) (Pattern, error) {
	if s == NullSender {
		return Pattern{null: true}, nil
	}
	if local, ok := strings.CutSuffix(s, "@"); ok {
		a, err := ParseAddress(local + "@example.com")
		return Pattern{local: strings.ToLower(a.local)}, err
	}
	if !strings.Contains(s, "@") {
		domain, err := NormalDomain(s)
		return Pattern{domain: domain}, err
	}
	a, err := ParseAddress(s)
	return Pattern{local: strings.ToLower(a.local), domain: a.domain}, err
}

func (p Pattern) matches(a Address) bool {
	return !p.null && (p.domain == "" || p.domain == a.domain) && (p.local == "" || p.local == strings.ToLower(a.local))
}

// reason returns why a recipient is let in unasked, "" if he is not. Nobody is at
// delivery, where there is no door.
func (b *Bypass) reason(r Request, to Address) string {
	switch {
	case b == nil || !r.Door:
		return ""
	case b.Authenticated && r.User != "":
		return "client has logged in"
	case b.hasNetwork(r.Client):
		return "client's network"
	case b.hasSender(r.Sender):
		return "sender"
	case hasMatch(b.Recipients, to):
		return "recipient"
	}
	return ""
}

func (b *Bypass) hasNetwork(client string) bool {
	if len(b.Networks) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(client)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	for _, n := range b.Networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

func (b *Bypass) hasSender(sender string) bool {
	if len(b.Senders) == 0 || sender == "" {
		return false
	}
	if sender == NullSender {
		for _, p := range b.Senders {
			if p.null {
				return true
			}
		}
		return false
	}
	a, err := ParseAddress(sender)
	return err == nil && hasMatch(b.Senders, a)
}

func hasMatch(patterns []Pattern, a Address) bool {
	for _, p := range patterns {
		if p.matches(a) {
			return true
		}
	}
	return false
}
