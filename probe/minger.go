package probe

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	"postwhere/policy"
)

// Minger is a datagram that asks "do you take mail for this address?" and one
// that answers. MDaemon's hosts ask one another so (its Domain Sharing), IceWarp
// has a server of it, mingerd is a free one. What is said here of the protocol is
// from
//
//   - draft: draft-hathcock-minger-06 (2009), the last draft that was published,
//     and the one that MDaemon's manual names as its protocol;
//   - manual: the pages Minger, Domain Sharing and Verification of MDaemon's;
//   - mingerd: what mingerd (2012) was seen to do in its source.
//
// There is no number in a query that its reply would bring back (draft section
// 3): a reply is known by the address in it, and by where it comes from.

// MingerNetwork is the network of an Endpoint that is asked so.
const MingerNetwork = "udp"

// mingerPort is IANA's (draft sections 2 and 6).
const mingerPort = "4069"

// maxMingerReply is the longest datagram that can be a reply: an address, a
// blank and a digit (draft section 3), and room for more than that. mingerd's
// have 256 octets at most.
const maxMingerReply = 512

// What a host says of an address (draft section 3.1). There is none for "I
// cannot tell now". MDaemon counts an alias that leads to another site as active
// only if it is told to ("treats foreign aliases as active", manual).
const (
	mingerInvalid  = "0" // it did not understand the query
	mingerDenied   = "1" // it does not answer us
	mingerSecret   = "2" // the shared secret is missing or wrong
	mingerUnknown  = "3" // the address does not exist
	mingerDisabled = "4" // it exists and takes no mail: over quota, or disabled
	mingerActive   = "5" // it exists and takes mail
)

// errNotByMinger: the address cannot be put to a host in this protocol.
var errNotByMinger = errors.New("cannot be asked by Minger")

// errMingerReply: a datagram that is no reply.
var errMingerReply = errors.New("no Minger reply")

// mingerQuery returns the datagram that asks about an address in the form of the
// dialogue (RFC 5321 Mailbox), anonymously if the secret is empty (draft sections
// 2.1 and 4). Nothing ends the line: mingerd would take it for part of the digest.
func mingerQuery(mailbox, secret string) (string, error) {
	if err := askableByMinger(mailbox); err != nil || secret == "" {
		return mailbox, err
	}
	return mailbox + " d=" + mingerDigest(mailbox, secret), nil
}

// mingerDigest is the base64 of the MD5 of the secret, a colon and the address,
// in the very spelling of the query (draft section 2.2; mingerd compares all 24
// characters). The host learns from it that we know the secret. We learn nothing
// of the host: its replies carry none.
func mingerDigest(mailbox, secret string) string {
	sum := md5.Sum([]byte(secret + ":" + mailbox))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// askableByMinger tells why an address cannot be put. The protocol knows ASCII
// only (its Mailbox is RFC 2821's). A blank in a quoted local part is allowed by
// its grammar, but it also ends the address there, and mingerd cuts at it: the
// answer would be about another address.
func askableByMinger(mailbox string) error {
	local := strings.LastIndexByte(mailbox, '@')
	switch {
	case local < 1 || local == len(mailbox)-1:
		return fmt.Errorf("%w: not an address", errNotByMinger)
	case strings.ContainsFunc(mailbox, func(r rune) bool { return r >= 0x7f }):
		return fmt.Errorf("%w: the address is not ASCII", errNotByMinger)
	case strings.ContainsFunc(mailbox, func(r rune) bool { return r <= ' ' }):
		return fmt.Errorf("%w: there is a blank in the address", errNotByMinger)
	case len(mailbox) > maxMingerReply-2:
		return fmt.Errorf("%w: the address is too long", errNotByMinger)
	}
	return nil
}

// mingerReply is what a host said: about which address, and what.
type mingerReply struct {
	mailbox string
	status  string // a digit, if it is one of the draft's
}

// parseMingerReply reads a datagram as mailbox, blank, status: so the draft's
// examples (section 3.2) and mingerd have it; the draft's grammar forgets the
// blank. The end of a line or of a C string is let through behind it. The error
// wraps errMingerReply. A status that nobody knows is none: it was said of an
// address, and stands for itself.
func parseMingerReply(datagram []byte) (mingerReply, error) {
	if len(datagram) > maxMingerReply {
		return mingerReply{}, fmt.Errorf("%w: more than %d octets", errMingerReply, maxMingerReply)
	}
	text := strings.TrimRight(string(datagram), "\r\n\x00")
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return mingerReply{}, fmt.Errorf("%w: not ASCII, or with control characters", errMingerReply)
	}
	mailbox, status, ok := strings.Cut(text, " ")
	if !ok || status == "" || !strings.Contains(mailbox, "@") {
		return mingerReply{}, fmt.Errorf("%w: want an address, a blank and a digit", errMingerReply)
	}
	return mingerReply{mailbox: mailbox, status: status}, nil
}

// about tells whether the reply is to a question about the address. mingerd
// brings it back as it was put; other hosts may fold its case, and do not tell
// Anna from anna then. Only one address is ever asked about on one socket.
func (r mingerReply) about(mailbox string) bool { return strings.EqualFold(r.mailbox, mailbox) }

// read is the one place where a reply becomes an answer. It is pure. Only one
// status is a no. An address that exists and takes no mail is a yes, as a full
// mailbox is by SMTP: its host decides at delivery. It is a weak one, for a
// mailbox that has moved may have left a disabled one behind.
func (r mingerReply) read() meaning {
	switch r.status {
	case mingerActive:
		return meaning{says: policy.Yes}
	case mingerDisabled:
		return meaning{says: policy.Yes, weak: true}
	case mingerUnknown:
		return meaning{says: policy.No}
	case mingerInvalid:
		return meaning{says: policy.Unsure, why: "the host did not understand the query"}
	case mingerDenied:
		return meaning{says: policy.Unsure, why: "the host does not answer this machine: let it in there"}
	case mingerSecret:
		return meaning{says: policy.Unsure, why: "the host wants a shared secret, or another one than ours"}
	}
	return meaning{says: policy.Unsure, why: "a status that is not in the protocol"}
}

// weigh is read, with what is known of the host. A yes counts from a host that
// does not say it to everything. So does a no: the protocol has no word for a
// directory that is away, so that a host that says no to everybody cannot be told
// from one that knows nobody, until it was seen to accept something. And a no is
// not believed of an address in quotes: mingerd takes them for part of the name.
func (r mingerReply) weigh(c Calibration) meaning {
	m := r.read()
	switch {
	case m.says == policy.Unsure:
	case !c.Tells:
		return meaning{says: policy.Unsure, why: c.Why}
	case m.says == policy.No && !c.Accepts:
		return meaning{says: policy.Unsure, why: "this host has not been seen to accept any address, nor its control address"}
	case m.says == policy.No && strings.HasPrefix(r.mailbox, `"`):
		return meaning{says: policy.Unsure, why: "hosts may take the quotes for part of the mailbox's name"}
	}
	return m
}

// reply returns the reply as an answer carries it. It has no SMTP code.
func (r mingerReply) reply() policy.Reply {
	return policy.Reply{Text: clipped(r.mailbox + " " + r.status)}
}

// ParseMingerEndpoint reads minger:[inet:]HOST[:PORT]; the port is 4069 if none
// is given, and an IPv6 address with a port stands in brackets.
func ParseMingerEndpoint(s string) (Endpoint, error) {
	rest, ok := strings.CutPrefix(s, mingerPrefix)
	if !ok {
		return Endpoint{}, fmt.Errorf("endpoint %q: want minger:HOST[:PORT]", s)
	}
	rest, _ = strings.CutPrefix(rest, "inet:")
	host, port, err := SplitHostPort(rest)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: %w", s, err)
	}
	if port == "" {
		port = mingerPort
	}
	return Endpoint{Network: MingerNetwork, Address: net.JoinHostPort(host, port)}, nil
}
