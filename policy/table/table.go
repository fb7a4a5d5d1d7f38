// Package table is what postwhere's look-up tables say. Two faces offer them to
// Postfix and Sendmail, over protocols of their own: socketmap and tcptable.
//
//	map            used as                 deliver        reject            defer           pass
//	transport      transport_maps          host's route   error:5.1.1 text  retry:4.4.1 …   not found
//	recipient      relay_recipient_maps    host's name    not found         temporary       not found
//	alias          virtual_alias_maps      local@alias    not found         temporary       not found
//	sendmail       Sendmail's rules        host's mailer  error: with 550   error: with 450 not found
//	sendmail_door  the same, see sendmail  host's mailer  temporary         temporary       not found
//
// where alias is the host's pseudo-domain. The recipient map is asked at the door,
// where a recipient of ours may be let in unsure: it is found then. A fault of postwhere's own is a
// temporary failure. The map domain, for relay_domains, needs no verdict: it has
// the names of our domains.
package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"postwhere/policy"
	"postwhere/policy/server"
)

// The maps' names.
const (
	Transport    = "transport"
	Recipient    = "recipient"
	Domain       = "domain"
	Alias        = "alias"
	Sendmail     = "sendmail"      // Sendmail's names: letters, digits and underscores
	SendmailDoor = "sendmail_door" // where a milter judges
)

// letIn is the recipient map's value of a recipient that is let in unsure. Postfix
// does not use it.
const letIn = "unsure"

// ErrUnknownMap says that there is no map of that name.
var ErrUnknownMap = errors.New("unknown map, want transport, recipient, domain, alias, sendmail or sendmail_door")

// CheckMap returns ErrUnknownMap unless there is a map of that name.
func CheckMap(name string) error {
	switch name {
	case Transport, Recipient, Domain, Alias, Sendmail, SendmailDoor:
		return nil
	}
	return fmt.Errorf("%w, got %.80q", ErrUnknownMap, name)
}

// Status says what a look-up came to.
type Status uint8

// The zero Status is Temp: what is forgotten is tried again.
const (
	Temp     Status = iota // not known now
	Found                  // there is a value
	NotFound               // there is none
)

// String returns the status's word.
func (s Status) String() string { return [...]string{"temp", "found", "notfound", "?"}[s&3] }

// Result is what a look-up came to.
type Result struct {
	Status Status
	// Text is the value if it was found, never empty, or why there is none just
	// now; one line. An empty value is a configuration error to Postfix.
	Text string
}

// Query is one look-up.
type Query struct {
	Face string // which face was asked, for the log: "socketmap", "tcp"
	Map  string
	Key  string // in the client's spelling; Postfix folds some maps' keys, some not
}

// Searcher finds the host of a recipient's mailbox. Its error is postwhere's own
// fault: there is no verdict then.
type Searcher interface {
	Search(ctx context.Context, r policy.Request) (policy.Finding, error)
}

// Maps are the maps. They may be used concurrently, and must not be changed
// meanwhile.
type Maps struct {
	Searcher Searcher
	// Ours tells whether a domain, as policy.NormalDomain returns it, is ours.
	Ours func(name string) bool
	// Wait is how long a look-up of Postfix's waits for the hosts, 0: as long as a
	// search may take. The queue manager schedules nothing while it waits.
	// Sendmail, of which each session is a process, waits for the search.
	Wait time.Duration
	// Log takes postwhere's own faults; nil: slog.Default().
	Log *slog.Logger
}

// Lookup returns what a map says of a key. The error wraps ErrUnknownMap.
//
// Postfix asks each address once, in full: these are tables like regexp_table(5),
// without look-ups of user+ext as user, of domains or of their parents. What is
// no address ("*", which trivial-rewrite(8) asks for when it starts and every 30
// s) is not found, without a search.
func (m *Maps) Lookup(ctx context.Context, q Query) (Result, error) {
	if err := CheckMap(q.Map); err != nil {
		return Result{}, err
	}
	if q.Map == Domain {
		return m.domain(q.Key), nil
	}
	if !strings.Contains(q.Key, "@") {
		return Result{Status: NotFound}, nil
	}
	f, err := m.Searcher.Search(ctx, m.request(q))
	if err != nil {
		cmp.Or(m.Log, slog.Default()).Error("look-up failed", "face", q.Face, "map", q.Map, "key", q.Key, "error", err)
		return Result{Temp, "internal error"}, nil
	}
	switch q.Map {
	case Transport:
		return transport(f), nil
	case Alias:
		return alias(f), nil
	case Sendmail, SendmailDoor:
		return sendmail(f, q.Map == SendmailDoor), nil
	default:
		return recipient(f), nil
	}
}

// request returns what is asked of the searcher.
func (m *Maps) request(q Query) policy.Request {
	r := policy.Request{Recipient: q.Key, Face: q.Face, Wait: m.Wait}
	switch q.Map {
	case Transport:
		r.Fresh = true
	case Recipient:
		r.Door = true
	case Sendmail:
		r.Fresh, r.Wait = true, 0
	case SendmailDoor:
		r.Door, r.Wait = true, 0
	}
	return r
}

// domain says which domains are ours. Subdomains are not: ".example.com" is asked
// for by a table that is not like ours.
func (m *Maps) domain(key string) Result {
	name, err := policy.NormalDomain(key)
	if err != nil || !m.Ours(name) {
		return Result{Status: NotFound}
	}
	return found(name)
}

// transport says where a recipient's mail goes. For a domain of ours it is never
// silent: at delivery that would send the mail to the domain's MX, to ourselves.
// error: bounces there, and is therefore said with a complete no alone.
func transport(f policy.Finding) Result {
	switch {
	case f.Verdict == policy.Deliver:
		return found(owner(f).Route)
	case f.Verdict == policy.Pass && !f.LetIn:
		return Result{Status: NotFound}
	}
	r := server.Reply(f)
	mailer := "retry:"
	if r.Code/100 == 5 {
		mailer = "error:"
	}
	return found(mailer + r.Enhanced + " " + r.Text)
}

// recipient says whether a mailbox exists, and as a value, which Postfix does not
// use, where.
func recipient(f policy.Finding) Result {
	switch f.Verdict {
	case policy.Deliver:
		return found(owner(f).Name)
	case policy.Pass:
		if f.LetIn {
			return found(letIn)
		}
		return Result{Status: NotFound}
	case policy.Reject:
		return refused(f)
	}
	return temp(f)
}

// refused is what a map says of an address that nobody has, and that Postfix refuses
// if it is not found. smtpd(8) folds the keys of these maps, and not as every host
// does: of two letters that fold alike it hands over one.
func refused(f policy.Finding) Result {
	if server.Reply(f).Code/100 == 5 && f.Address.IsASCII() {
		return Result{Status: NotFound}
	}
	return temp(f)
}

// alias says which address, at the pseudo-domain of its host, a recipient's mail
// is to be sent to. The local part is kept as it is, with its extension, and
// quoted where it must be: virtual(5) values are addresses as in a header.
func alias(f policy.Finding) Result {
	switch f.Verdict {
	case policy.Deliver:
		domain := owner(f).AliasDomain
		if domain == "" || f.Address.Local() == "" {
			return found("")
		}
		return found(f.Address.At(domain).String())
	case policy.Reject:
		return refused(f) // by virtual_alias_domains
	case policy.Pass:
		if !f.LetIn {
			return Result{Status: NotFound}
		}
	}
	return temp(f)
}

// owner returns the host that has the mailbox; one without a value for any map
// if the finding, which says that there is one, lacks it.
func owner(f policy.Finding) policy.Host {
	if f.Host == nil {
		return policy.Host{}
	}
	return *f.Host
}

// found returns a value, or, if there is none that Postfix could use, a failure
// that its log shows.
func found(value string) Result {
	if value == "" || strings.ContainsFunc(value, unicode.IsControl) {
		return Result{Temp, "the mailbox's host has no value for this map"}
	}
	return Result{Found, value}
}

// temp returns the failure of a look-up with a verdict that is none.
func temp(f policy.Finding) Result {
	r := server.Reply(f)
	return Result{Temp, r.Enhanced + " " + r.Text}
}
