package config

import (
	"fmt"
	"net/netip"

	"postwhere/policy"
)

// Bypass says who is let in at the door unasked, where the policy service or the
// milter is asked.
type Bypass struct {
	Networks      []Network `toml:"networks"`      // clients: ADDRESS or ADDRESS/BITS
	Authenticated bool      `toml:"authenticated"` // clients that have logged in
	// Senders and Recipients are user@example.com, example.com or user@, as in
	// access(5); <> is the null sender.
	Senders    []Pattern `toml:"senders"`
	Recipients []Pattern `toml:"recipients"`
}

// Network is a block of IP addresses.
type Network struct{ netip.Prefix }

// UnmarshalText reads ADDRESS or ADDRESS/BITS.
func (n *Network) UnmarshalText(text []byte) error {
	if ip, err := netip.ParseAddr(string(text)); err == nil && ip.Zone() == "" {
		n.Prefix = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	switch {
	case err != nil || p.Addr().Is4In6():
		return fmt.Errorf("network %q: want 192.0.2.0/24, 2001:db8::/32 or an address", text)
	case p != p.Masked():
		return fmt.Errorf("network %q is an address within one: want %s", text, p.Masked())
	}
	n.Prefix = p
	return nil
}

// Pattern is an address pattern.
type Pattern struct {
	policy.Pattern
	text string
}

// UnmarshalText reads user@example.com, example.com, user@ or <>.
func (p *Pattern) UnmarshalText(text []byte) error {
	pattern, err := policy.ParsePattern(string(text))
	if err != nil {
		return fmt.Errorf("%q: want user@example.com, example.com or user@: %w", text, err)
	}
	*p = Pattern{pattern, string(text)}
	return nil
}

// check checks what the decoder cannot.
func (b *Bypass) check(wrong *problems) {
	for _, p := range b.Recipients {
		if p.text == policy.NullSender {
			wrong.add("bypass.recipients: %s is nobody's address: it is for bypass.senders", p.text)
		}
	}
}

// Rules returns the section as package policy takes it.
func (b *Bypass) Rules() *policy.Bypass {
	rules := &policy.Bypass{Authenticated: b.Authenticated}
	for _, n := range b.Networks {
		rules.Networks = append(rules.Networks, n.Prefix)
	}
	for _, p := range b.Senders {
		rules.Senders = append(rules.Senders, p.Pattern)
	}
	for _, p := range b.Recipients {
		rules.Recipients = append(rules.Recipients, p.Pattern)
	}
	return rules
}
