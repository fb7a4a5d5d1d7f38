package milter

import (
	"context"
	"net"
	"runtime/debug"
	"strings"
	"time"

	gomilter "github.com/d--j/go-milter"

	"postwhere/policy"
)

const (
	// progressEvery is how often Postfix is told that a search goes on. It waits 30
	// s for a reply (milter_command_timeout), from the last sign of life.
	progressEvery = 3 * time.Second
	// patience is how long an MTA waits that cannot be told so: Sendmail 10 s for the
	// whole reply (R in the T equate of INPUT_MAIL_FILTER).
	patience = 8 * time.Second
	// progressVersion is the first version of the protocol in which it can be.
	progressVersion = 6
	// refused is the {rcpt_mailer} of a recipient that the MTA has refused itself.
	refused = "error"
)

// session is one connection of an MTA's, which is one SMTP session, or several in a
// row. The library calls its methods one at a time. None returns an error, at which
// the library would close the connection, and the MTA refuse or defer every further
// recipient of the session.
type session struct {
	gomilter.NoOpMilter // continues at all the rest
	*face

	waits  bool   // the MTA may be told to wait on
	client string // address, "" if it has none
	remote bool   // it has an address and a port
	helo   string
	sender string   // of the message, NullSender if it is none
	trace  string   // the header's name, "": there is none
	owners []string // of the message's recipients
	said   lastReply

	ctx    context.Context // of the searches' asker: ends with the connection
	cancel context.CancelFunc
	pulse  *pulse
}

func (f *face) newSession(_ uint32, actions gomilter.OptAction, _ gomilter.OptProtocol, _ gomilter.DataSize) gomilter.Milter {
	s := &session{face: f}
	s.ctx, s.cancel = context.WithCancel(f.ctx)
	s.pulse = &pulse{gone: s.cancel}
	if actions&gomilter.OptAddHeader != 0 {
		s.trace = f.header()
	}
	return s
}

// NewConnection begins an SMTP session, the first or another.
func (s *session) NewConnection(gomilter.Modifier) error {
	*s = session{face: s.face, trace: s.trace, said: s.said, ctx: s.ctx, cancel: s.cancel, pulse: s.pulse}
	return nil
}

// Cleanup ends the connection.
func (s *session) Cleanup(gomilter.Modifier) {
	s.pulse.end()
	s.cancel()
}

// Connect notes the client, and whether the MTA may be told to wait on. The protocol
// has that for the end of a message alone. Postfix takes it at any time
// (src/milter/milter8.c); to Sendmail it is a bogus reply to a recipient, after which
// it does without the filter (milter_send_command in its milter.c).
func (s *session) Connect(_, _ string, port uint16, addr string, m gomilter.Modifier) (*gomilter.Response, error) {
	s.waits = m.Version() >= progressVersion && strings.HasPrefix(m.Get(gomilter.MacroMTAVersion), "Postfix")
	if net.ParseIP(addr) == nil { // unknown, or a socket's path
		addr = ""
	}
	s.client, s.remote, s.helo = addr, addr != "" && port != 0, ""
	return gomilter.RespContinue, nil
}

// Helo notes the client's name for itself; there may be another after STARTTLS.
func (s *session) Helo(name string, _ gomilter.Modifier) (*gomilter.Response, error) {
	s.helo = name
	return gomilter.RespContinue, nil
}

// MailFrom begins a message.
func (s *session) MailFrom(from, _ string, _ gomilter.Modifier) (*gomilter.Response, error) {
	s.sender, s.owners = from, nil
	if from == "" {
		s.sender = policy.NullSender
	}
	return gomilter.RespContinue, nil
}

// Abort ends a message.
func (s *session) Abort(gomilter.Modifier) error {
	s.sender, s.owners = "", nil
	return nil
}

// RcptTo judges a recipient.
func (s *session) RcptTo(word, _ string, m gomilter.Modifier) (resp *gomilter.Response, _ error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("recipient gets 4xx: fault in postwhere", "reason", p, "stack", string(debug.Stack()))
			resp = respFault
		}
	}()
	if !s.concernsUs(m) {
		return gomilter.RespContinue, nil
	}
	recipient, unquoted := recipientOf(word, m.Get(gomilter.MacroRcptAddr))
	f, err := s.search(m, policy.Request{
		Recipient: recipient,
		Unquoted:  unquoted,
		Face:      "milter",
		QueueID:   m.Get(gomilter.MacroQueueId),
		Client:    s.client,
		Helo:      s.helo,
		User:      m.Get(gomilter.MacroAuthAuthen),
		Sender:    s.sender,
		State:     "RCPT",
		Door:      true,
	})
	if err != nil {
		return respFault, nil
	}
	if s.trace != "" && f.Verdict == policy.Deliver {
		s.owners = append(s.owners, ownerOf(f))
	}
	return s.said.response(f), nil
}

// concernsUs tells whether a recipient is to be judged. One that the MTA has
// refused is not. Nor is one of a message that no SMTP client hands over: Postfix
// could refuse no single recipient of it, and would try the message for ever
// (MILTER_README, "Limitations"; src/cleanup/cleanup_milter.c). Such a client has no
// address, or port 0, and no recipient comes with a {rcpt_mailer}, which smtpd(8)
// always sends to who asks, and cleanup(8) never.
func (s *session) concernsUs(m gomilter.Modifier) bool {
	if mailer, ok := m.GetEx(gomilter.MacroRcptMailer); ok {
		return mailer != refused
	}
	_, byCleanup := m.GetEx(gomilter.MacroRcptAddr)
	byCleanup = byCleanup && m.Actions()&gomilter.OptSetMacros != 0
	return s.remote && !byCleanup
}

// search asks, and keeps the MTA waiting meanwhile.
func (s *session) search(m gomilter.Modifier, r policy.Request) (policy.Finding, error) {
	if !s.waits {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		return s.searcher.Search(ctx, r)
	}
	s.pulse.begin(m)
	defer s.pulse.rest()
	return s.searcher.Search(s.ctx, r)
}

// EndOfMessage says who owns the recipients, where that is wanted.
func (s *session) EndOfMessage(m gomilter.Modifier) (*gomilter.Response, error) {
	if s.trace != "" && len(s.owners) > 0 {
		// Before those that came with the message, so that the first is ours.
		if err := m.InsertHeader(0, s.trace, traceValue(s.owners)); err != nil {
			s.log.Warn("no trace header", "reason", err.Error())
		}
	}
	s.owners = nil
	return gomilter.RespContinue, nil // which the library makes an accept of: there is nothing left to see
}
