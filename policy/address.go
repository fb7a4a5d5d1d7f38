package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of an address that may be put to a host.
const (
	// maxMailbox is the longest local-part@domain: a path has at most 256
	// octets with its angle brackets (RFC 5321 section 4.5.3.1.3). The 64
	// octets that section 4.5.3.1.1 grants a local part are no limit here:
	// Postfix accepts longer ones, and such a mailbox may exist.
	maxMailbox = 254
	// maxDomain is RFC 5321 section 4.5.3.1.2.
	maxDomain = 255
)

// Address is a normalised recipient: the local part as the client spelled it,
// without quoting, and the domain in lower case and ASCII (IDNA A-labels),
// without a trailing dot. Addresses that ParseAddress returned without an error
// cannot break an SMTP dialogue. The zero Address is nobody's. Addresses are
// values, comparable, and may be used concurrently.
type Address struct {
	local  string
	domain string
}

// Reasons why a text is no address, or none that may be put to a host.
var (
	// ErrNoAddress: no @, or nothing before or behind it. It is nobody's.
	ErrNoAddress = errors.New("not an address: want local-part@domain")
	// ErrUnaskable: an address, but one that could break a dialogue (control
	// characters, invalid UTF-8, too long). It is never put to a host.
	ErrUnaskable = errors.New("address cannot be put to a mail host")
)

// ParseAddress reads a recipient as Postfix hands it over: in the form of the
// SMTP dialogue (RFC 5321 Mailbox, the local part quoted where it must be) or
// unquoted, as check_policy_service and some table look-ups have it. The domain
// is what follows the last @. The error wraps ErrNoAddress or ErrUnaskable; the
// latter comes with an Address whose Domain is right, so that the caller can
// tell whether it is one of his.
func ParseAddress(s string) (Address, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 || at == len(s)-1 {
		return Address{}, fmt.Errorf("%w, got %q", ErrNoAddress, clip(s))
	}
	domain, err := NormalDomain(s[at+1:])
	if err != nil {
		return Address{}, fmt.Errorf("%w: %w", ErrNoAddress, err)
	}
	a := Address{local: s[:at], domain: domain}
	if isPlain(a.local) && !a.isLong() { // as most are
		return a, nil
	}
	a.local = unroute(unquote(unroute(s[:at])))
	switch {
	case a.local == "":
		return a, fmt.Errorf("%w: empty local part", ErrUnaskable)
	case !utf8.ValidString(a.local):
		return a, fmt.Errorf("%w: local part is not UTF-8", ErrUnaskable)
	case hasControl(a.local):
		return a, fmt.Errorf("%w: control character in local part", ErrUnaskable)
	case a.isLong():
		return a, fmt.Errorf("%w: longer than %d octets (RFC 5321 4.5.3.1.3)", ErrUnaskable, maxMailbox)
	}
	return a, nil
}

// isLong tells whether the address is longer than a mailbox may be. With each octet of
// the local part quoted, most are not.
func (a Address) isLong() bool {
	return 2*len(a.local)+len(`""@`)+len(a.domain) > maxMailbox && len(a.String()) > maxMailbox
}

// noDomain are the octets that no domain name has: controls, the blank and the specials
// of RFC 5321 section 4.1.2.
var noDomain = func() (octets [256]bool) {
	for c := range octets {
		octets[c] = c <= ' ' || c == 0x7f || strings.ContainsRune(`<>()",;:\@`, rune(c))
	}
	return octets
}()

// NormalDomain returns a domain name in lower case and ASCII (IDNA A-labels,
// RFC 5891 lookup), without its trailing dot. Names that are ASCII already need
// not be host names: an underscore is let through, as Postfix does.
func NormalDomain(name string) (string, error) {
	// An A-label has an octet or more for each character, and making one takes
	// the square of their number: what is too long is not even tried.
	if len(name) > maxDomain*utf8.UTFMax {
		return "", fmt.Errorf("domain %q: more than %d octets", clip(name), maxDomain)
	}
	if isNormal(name) { // as most are
		return name, nil
	}
	d := strings.ToLower(strings.TrimSuffix(name, "."))
	if !isASCII(d) {
		ascii, err := idna.Lookup.ToASCII(d)
		if err != nil {
			return "", fmt.Errorf("domain %q: %w", clip(name), err)
		}
		d = strings.TrimSuffix(ascii, ".") // IDNA knows other full stops
	}
	if len(d) > maxDomain || d == "" || d[0] == '.' || d[len(d)-1] == '.' || strings.Contains(d, "..") {
		return "", fmt.Errorf("domain %q: want labels between single dots, %d octets at most", clip(name), maxDomain)
	}
	for _, c := range []byte(d) {
		if noDomain[c] {
			return "", fmt.Errorf("domain %q: character %q", clip(name), c)
		}
	}
	return d, nil
}

// isNormal tells whether a domain name is as NormalDomain returns it, and has none but
// ASCII characters.
func isNormal(name string) bool {
	before := byte('.')
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' || noDomain[c] || c == '.' && before == '.' {
			return false
		}
		before = c
	}
	return before != '.' && len(name) <= maxDomain
}

// AddressOf returns the address of which Local and Domain are the parts.
func AddressOf(local, domain string) Address { return Address{local: local, domain: domain} }

// Local returns the local part, unquoted, as the client spelled it.
func (a Address) Local() string { return a.local }

// Domain returns the domain, in lower case, as A-labels.
func (a Address) Domain() string { return a.domain }

// String returns the address as it goes into a dialogue (RFC 5321 Mailbox): the
// local part as a Dot-string if it is one, else as a Quoted-string.
func (a Address) String() string {
	if isDotString(a.local) {
		return a.local + "@" + a.domain
	}
	var b strings.Builder
	b.Grow(len(a.local) + len(a.domain) + 8)
	b.WriteByte('"')
	for i := range len(a.local) {
		if c := a.local[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(a.local[i])
	}
	b.WriteString(`"@`)
	b.WriteString(a.domain)
	return b.String()
}

// Key returns the name under which an owner is remembered: the address with its
// local part folded to lower case. Only a yes may be kept under it. A no is
// about one spelling: a host that tells Anna from anna may have just one of them.
func (a Address) Key() string { return strings.ToLower(a.local) + "@" + a.domain }

// keyRoom is room on the stack for most keys.
const keyRoom = 128

// appendKey appends Key, for a look-up in a map that makes no string.
func (a Address) appendKey(dst []byte) []byte {
	if isASCII(a.local) {
		for _, c := range []byte(a.local) {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
		}
	} else {
		dst = append(dst, strings.ToLower(a.local)...)
	}
	return append(append(dst, '@'), a.domain...)
}

// IsASCII tells whether the address can be asked about without SMTPUTF8
// (RFC 6531).
func (a Address) IsASCII() bool { return isASCII(a.local) && isASCII(a.domain) }

// At returns the address with its domain replaced, verbatim.
func (a Address) At(domain string) Address { return Address{local: a.local, domain: domain} }

// Base returns the address without its extension, and whether it had one:
// delimiters is Postfix's recipient_delimiter, a set of characters of which the
// first that occurs begins the extension. What Postfix never splits is not split
// here (src/global/split_addr.c): the system's own names, owner-LIST and
// LIST-request, a local part that begins with the delimiter.
func (a Address) Base(delimiters string) (Address, bool) {
	if delimiters == "" {
		return a, false
	}
	switch folded := strings.ToLower(a.local); {
	case folded == "postmaster", folded == "mailer-daemon", folded == "double-bounce":
		return a, false
	case strings.Contains(delimiters, "-") &&
		(strings.HasPrefix(folded, "owner-") || strings.HasSuffix(folded, "-request")):
		return a, false
	}
	i := strings.IndexAny(a.local, delimiters)
	if i < 1 {
		return a, false
	}
	return Address{local: a.local[:i], domain: a.domain}, true
}

// unroute takes source routes off a local part, quoted or not, as Postfix does
// when it resolves a recipient (measured): they say how to get to a mailbox, not
// which one it is (RFC 5321 section 4.1.1.3). A milter gets them, policy the second.
func unroute(local string) string {
	for strings.HasPrefix(local, "@") {
		_, mailbox, ok := strings.Cut(local, ":")
		if !ok {
			break
		}
		local = mailbox
	}
	return local
}

// ambiguous tells whether the local part of a recipient can be read in two ways.
// Postfix accepts RFC 822 quotes, backslashes, comments and spaces anywhere in it
// (strict_rfc821_envelopes = no) and takes them off, but shows them to a milter as
// they came: a."b".c@ is the mailbox a.b.c. From policy, which has no quoting, the
// same characters are the mailbox's own.
func ambiguous(recipient string) bool {
	local := recipient[:max(0, strings.LastIndexByte(recipient, '@'))]
	if isPlain(local) || unquote(local) != local {
		return false
	}
	return strings.ContainsAny(local, `"\()`) || strings.HasPrefix(local, " ") || strings.HasSuffix(local, " ") ||
		strings.Contains(local, " .") || strings.Contains(local, ". ")
}

// isSpelled tells whether a recipient has the address's local part as it is.
func (a Address) isSpelled(recipient string) bool {
	return recipient[:max(0, strings.LastIndexByte(recipient, '@'))] == a.local
}

// unquote takes the quoting off a local part in the form of the dialogue; what
// is no well-formed Quoted-string is returned as it is.
func unquote(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	for in := local[1 : len(local)-1]; in != ""; in = in[1:] {
		switch in[0] {
		case '"':
			return local
		case '\\':
			if in = in[1:]; in == "" {
				return local
			}
		}
		b.WriteByte(in[0])
	}
	return b.String()
}

// atext are the octets of atoms (RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531
// section 3.3).
var atext = func() (octets [256]bool) {
	for c := range octets {
		octets[c] = c >= utf8.RuneSelf || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("!#$%&'*+-/=?^_`{|}~", byte(c)) >= 0
	}
	return octets
}()

// isDotString tells whether a local part needs no quoting: atoms between single dots.
func isDotString(local string) bool {
	atom := false // the octet before this one belongs to an atom
	for i := range len(local) {
		if c := local[i]; atext[c] {
			atom = true
		} else if c == '.' && atom {
			atom = false
		} else {
			return false
		}
	}
	return atom
}

// isPlain tells whether a local part is a Dot-string of ASCII characters: whatever the form
// of the address, that is the mailbox's name.
func isPlain(local string) bool { return isDotString(local) && isASCII(local) }

func hasControl(s string) bool {
	for _, r := range s {
		// C1 controls and Unicode's line separators are no mailbox either, and
		// some programs end a line there.
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// clip shortens foreign text for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
