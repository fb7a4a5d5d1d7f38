package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Says is what one host said about one address.
type Says uint8

// The zero Says is Unasked: a host that has not answered has not said No.
const (
	Unasked Says = iota
	Yes
	No
	Unsure
)

// String returns the word for logs and for the command line.
func (s Says) String() string {
	return [...]string{"unasked", "yes", "no", "unsure"}[s&3]
}

// Reply is an SMTP reply as a value (RFC 5321 section 4.2, RFC 2034).
type Reply struct {
	Code     int    // basic code, 0: there was no reply
	Enhanced string // "5.1.1", "": none was given
	Text     string // lines without codes, parted by \n
}

// String returns the reply in one line, codes first.
func (r Reply) String() string {
	if r.Code == 0 {
		return r.Text
	}
	parts := append(make([]string, 0, 3), strconv.Itoa(r.Code))
	if r.Enhanced != "" {
		parts = append(parts, r.Enhanced)
	}
	if r.Text != "" {
		parts = append(parts, strings.ReplaceAll(r.Text, "\n", " "))
	}
	return strings.Join(parts, " ")
}

// Answer is what one host said about one address.
type Answer struct {
	// What a verdict is made of is side by side: it costs one look into main memory.
	Host string    // the host's name in the configuration
	At   time.Time // when the question was put
	Says Says
	Weak bool // a yes that counts only where no host has a better one (251)
	// Denied: Unsure though the host said no, since its word is not believed. It
	// refuses nobody, but what was known of the mailbox does not stand against it.
	Denied bool

	Took   time.Duration // from At to the answer
	Method string        // how it was asked: "vrfy", "rcpt"; "" if it was not
	Reply  Reply         // the host's own words, if it came to that
	Why    string        // why Unsure, for the administrator
}

// String returns the answer as a log shows it: host:says.
func (a Answer) String() string { return a.Host + ":" + a.Says.String() }

// same tells whether b is this very answer, and not a later one of the same host.
func (a Answer) same(b Answer) bool { return a.Host == b.Host && a.At.Equal(b.At) }

// UnsureOf returns the answer of a host that could not be asked.
func UnsureOf(host, format string, args ...any) Answer {
	return Answer{Host: host, Says: Unsure, Why: fmt.Sprintf(format, args...), At: time.Now()}
}
