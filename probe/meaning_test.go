package probe

import (
	"bufio"
	"strings"
	"testing"

	"postwhere/policy"
)

// The address that the tables ask about, and the one that nobody has.
const (
	anna     = "anna@d.test"
	nonsense = "postwherea2b3c4@d.test"
)

// What a reply means to each of the calibrations, in this order: none; a host
// that refuses decisively; one that refuses vaguely, in the words of this very
// reply, and was not seen to accept; the same, seen to accept; one that accepts
// all. Y yes, W weak yes, N no, U unsure, R unsure: RCPT may tell, X unsure: a
// matter of the connection, B both.
const (
	yes        = "UYYYU"
	weak       = "UWWWU"
	no         = "NNNNN"
	vagueRCPT  = "UUUNU"
	vagueVRFY  = "RRRNR"
	unsure     = "UUUUU"
	byRCPT     = "RRRRR"
	worn       = "XXXXX"
	wornByRCPT = "BBBBB"
)

// meaningRow is a reply, where it was seen, and what it means.
type meaningRow struct {
	source, reply string
	vrfy, rcpt    string
}

// seen are the replies of PROTOCOL.md A1, captured from the running programs. In
// them the address is ADDRESS.
var seen = []meaningRow{
	{"Postfix VRFY known", "252 2.0.0 ADDRESS", yes, weak},
	{"Postfix VRFY <known>: not our echo", "252 2.0.0 <ADDRESS>", byRCPT, weak},
	{"Postfix VRFY of another", "252 2.0.0 xADDRESS", byRCPT, weak},
	{"Postfix unknown", "550 5.1.1 <ADDRESS>: Recipient address rejected: User unknown in virtual mailbox table", no, no},
	{"Postfix unknown, relay domain", "550 5.1.1 <ADDRESS>: Recipient address rejected: User unknown in relay recipient table", no, no},
	{"Postfix show_user_unknown_table_name=no", "550 5.1.1 <ADDRESS>: Recipient address rejected: User unknown", no, no},
	{"Postfix, not its domain", "554 5.7.1 <ADDRESS>: Relay access denied", unsure, unsure},
	{"Postfix, not its domain, smtpd_relay_restrictions=defer…", "454 4.7.1 <ADDRESS>: Relay access denied", unsure, unsure},
	{"Postfix VRFY alone", "501 5.5.4 Syntax: VRFY address [SMTPUTF8]", byRCPT, unsure},
	{"Postfix VRFY known extra", "501 5.1.3 Bad recipient address syntax", vagueVRFY, vagueRCPT},
	{"Postfix disable_vrfy_command", "502 5.5.1 VRFY command is disabled", byRCPT, unsure},
	{"Postfix smtpd_client_restrictions=reject", "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied", unsure, unsure},
	{"the same, smtpd_delay_reject=no", "503 5.7.0 Error: access denied for localhost[127.0.0.1]", worn, worn},
	{"Postfix smtpd_tls_security_level=encrypt", "530 5.7.0 Must issue a STARTTLS command first", unsure, unsure},
	{"Postfix reject_unknown_helo_hostname", "450 4.7.1 <probe.test>: Helo command rejected: Host not found", unsure, unsure},
	{"Postfix reject_non_fqdn_helo", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", byRCPT, unsure},
	{"Postfix soft_bounce", "450 4.1.1 <ADDRESS>: Recipient address rejected: User unknown in virtual mailbox table", unsure, unsure},
	{"Postfix broken table", "451 4.3.0 <ADDRESS>: Temporary lookup failure", unsure, unsure},
	{"postgrey", "450 4.2.0 <ADDRESS>: Recipient address rejected: Greylisted, see http://postgrey", unsure, unsure},
	{"postscreen", "450 4.3.2 Service currently unavailable", unsure, unsure},
	{"Postfix reject_unverified_recipient", "450 4.1.1 <ADDRESS>: Recipient address rejected: unverified address: x", unsure, unsure},
	{"Postfix strict_smtputf8", "553 5.6.7 Must declare SMTPUTF8 to send unicode address", unsure, unsure},
	{"Postfix, null sender banned", "554 5.7.1 <>: Sender address rejected: Access denied", unsure, unsure},
	{"Postfix RCPT known", "250 2.1.5 Ok", yes, yes},
	{"Postfix, no MAIL", "503 5.5.1 Error: need MAIL command", worn, worn},
	{"Postfix access table, full, temporarily", "452 4.2.2 <ADDRESS>: Recipient address rejected: Mailbox full", yes, yes},
	{"Postfix access table, full", "552 5.2.2 <ADDRESS>: Recipient address rejected: Mailbox full", yes, yes},
	{"Postfix access table, disabled", "550 5.2.1 <ADDRESS>: Recipient address rejected: Mailbox disabled", yes, yes},
	{"Postfix access table REJECT", "554 5.7.1 <ADDRESS>: Recipient address rejected: Access denied", unsure, unsure},
	{"Postfix, too many recipients", "452 4.5.3 Error: too many recipients", worn, worn},
	{"Postfix, 21st error", "421 4.7.0 be.test Error: too many errors", worn, worn},
	{"Postfix, recipient rate", "450 4.7.1 Error: too many recipients from 127.0.0.1", worn, worn},
	{"Postfix, idle", "421 4.4.2 be.test Error: timeout exceeded", worn, worn},
	{"Postfix, 51st connection", "421 4.7.0 be.test Error: too many connections from 127.0.0.1", worn, worn},
	{"Postfix, EXPN", "500 5.5.2 Error: command not recognized", byRCPT, unsure},
	{"Postfix, pipelining that was not offered", "554 5.5.0 Error: SMTP protocol synchronization", unsure, unsure},
	{"Postfix reject_unauth_pipelining", "503 5.5.0 <ADDRESS>: Recipient address rejected: Improper use of SMTP command pipelining", worn, worn},
	{"Postfix, XCLIENT", "550 5.7.0 Error: insufficient authorization", unsure, unsure},
	{"Postfix, an error: of its transport map", "550 5.3.0 <ADDRESS>: Recipient address rejected: x", unsure, unsure},
	{"Postfix before postwhere: no such mailbox", "550 5.1.1 <ADDRESS>: Recipient address rejected: User unknown", no, no},
	{"the same, deferred", "450 4.4.1 <ADDRESS>: Recipient address rejected: no answer", unsure, unsure},
	{"the same, by a policy without a code of its own", "550 5.7.1 <ADDRESS>: Recipient address rejected: x", unsure, unsure},
	{"the same, REJECT 5.1.1", "554 5.1.1 <ADDRESS>: Recipient address rejected: x", no, no},
	{"the same, its daemon down", "451 4.3.5 <ADDRESS>: Recipient address rejected: Server configuration problem", unsure, unsure},
	{"Postfix, its milter down", "451 4.7.1 Service unavailable - try again later", unsure, unsure},
	{"Postfix, its milter down, reject", "550 5.5.0 Service unavailable", unsure, unsure},
	{"Postfix, by a milter", "550 5.7.1 Command rejected", unsure, unsure},
	{"Postfix, by a milter, and closes", "421 4.7.0 Server closing connection", worn, worn},

	{"Exim VRFY, no ACL", "252 Administrative prohibition", byRCPT, weak},
	{"Exim VRFY known", "250 <ADDRESS> is deliverable", yes, yes},
	{"Exim VRFY unknown", "550 <ADDRESS> Unrouteable address", vagueVRFY, vagueRCPT},
	{"Exim VRFY, DNS down", "451 Cannot resolve <ADDRESS> at this time", unsure, unsure},
	{"Exim VRFY, no domain", "501 ADDRESS: recipient address must contain a domain", vagueVRFY, vagueRCPT},
	{"Exim RCPT known", "250 Accepted", yes, yes},
	{"Exim RCPT unknown", "550 Unrouteable address", vagueVRFY, vagueRCPT},
	{"Exim RCPT, not its domain", "550 relay not permitted", byRCPT, unsure},
	{"Exim RCPT, trouble", "451 Temporary local problem - please try later", unsure, unsure},
	{"Exim, no EHLO", "503 HELO or EHLO required", worn, worn},
	{"Exim, ACL", "550 Administrative prohibition", byRCPT, unsure},
	{"Exim, host_reject_connection", "554 SMTP service not available", worn, worn},
	{"Exim RCPT, no domain", "501 <ADDRESS>: recipient address must contain a domain", vagueVRFY, vagueRCPT},
	{"Exim, 11th VRFY", "554 Too many nonmail commands", worn, worn},
	{"Exim, Debian's ACL, 11th RCPT", "550 Rejected for too many bad recipients", wornByRCPT, worn},
	{"Exim, too busy", "421 Too many concurrent SMTP connections; please try again later.", worn, worn},

	{"Sendmail VRFY known, as it calls it", "250 2.1.5 <anna@sm.test>", yes, yes},
	{"Sendmail VRFY, with the name", "250 2.1.5 Anna A. <anna@sm.test>", yes, yes},
	{"Sendmail VRFY of two", "250-2.1.5 <osvm@sm.test>\r\n250 2.1.5 <ADDRESS>", yes, yes},
	{"Sendmail unknown", "550 5.1.1 ADDRESS... User unknown", no, no},
	{"Sendmail virtusertable error", "550 5.0.0 ADDRESS... No such user here", vagueVRFY, vagueRCPT},
	{"Sendmail VRFY, another virtual domain", "252 2.1.5 <ADDRESS>", byRCPT, weak},
	{"Sendmail novrfy, goaway", "252 2.5.2 Cannot VRFY user; try RCPT to attempt delivery (or try finger)", byRCPT, weak},
	{"Sendmail needvrfyhelo", "503 5.0.0 I demand that you introduce yourself first", worn, worn},
	{"Sendmail RCPT known", "250 2.1.5 <ADDRESS>... Recipient ok", yes, yes},
	{"Sendmail RCPT unknown", "550 5.1.1 <ADDRESS>... User unknown", no, no},

	{"OpenSMTPD VRFY", "500 5.5.1 Invalid command: Command unrecognized", byRCPT, unsure},
	{"OpenSMTPD RCPT known", "250 2.1.5 Destination address valid: Recipient ok", yes, yes},
	{"OpenSMTPD RCPT unknown, and relay denied", "550 Invalid recipient: <ADDRESS>", vagueVRFY, vagueRCPT},
	{"OpenSMTPD RCPT unknown in a virtual table", "524 5.2.4 Mailing list expansion problem: <ADDRESS>", no, no},
	{"OpenSMTPD home directory", "424 4.2.4 Mailing list expansion problem", unsure, unsure},
	{"OpenSMTPD syntax", "501 5.1.3 Recipient address syntax error", vagueVRFY, vagueRCPT},
	{"OpenSMTPD, the 1001st", "451 4.5.3 Too many recipients", worn, worn},

	{"Dovecot LMTP VRFY", "501 5.5.4 Invalid string parameter: Invalid character in string", byRCPT, unsure},
	{"Dovecot LMTP EHLO", "500 5.5.1 Unknown command", byRCPT, unsure},
	{"Dovecot LMTP VRFY atom", "252 2.3.3 Try RCPT instead", byRCPT, weak},
	{"Dovecot LMTP known", "250 2.1.5 OK", yes, yes},
	{"Dovecot LMTP unknown", "550 5.1.1 <ADDRESS> User doesn't exist: ADDRESS", no, no},
	{"Dovecot LMTP full", "552 5.2.2 <ADDRESS> Quota exceeded (mailbox for user is full)", yes, yes},
	{"Dovecot LMTP full, quota_full_tempfail", "452 4.2.2 <ADDRESS> Quota exceeded (mailbox for user is full)", yes, yes},
	{"Dovecot LMTP, 11th bad command", "421 4.7.0 host Too many invalid commands.", worn, worn},
}

func TestWhatHostsWereSeenToSay(t *testing.T) { testMeanings(t, seen) }

func testMeanings(t *testing.T, rows []meaningRow) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.source, func(t *testing.T) {
			reply := parseReply(t, strings.ReplaceAll(tt.reply, "ADDRESS", anna))
			refusal := parseReply(t, strings.ReplaceAll(tt.reply, "ADDRESS", nonsense))
			for method, want := range map[Method]string{VRFY: tt.vrfy, RCPT: tt.rcpt} {
				got := ""
				for _, c := range calibrationsLike(method, refusal) {
					got += letter(question{method: method, address: anna, calibration: c}.read(reply))
				}
				if got != want {
					t.Errorf("%s %q: %s, want %s", method, reply, got, want)
				}
			}
		})
	}
}

// calibrationsLike are the calibrations of the tables' columns.
func calibrationsLike(method Method, refusal policy.Reply) []Calibration {
	decisively := policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "<" + nonsense + ">: User unknown"}
	return []Calibration{
		{},
		{Method: method, Nonsense: nonsense, Tells: true, Refusal: decisively, Plain: true},
		{Method: method, Nonsense: nonsense, Tells: true, Refusal: refusal, Plain: isPlain(refusal, nonsense)},
		{Method: method, Nonsense: nonsense, Tells: true, Refusal: refusal, Plain: isPlain(refusal, nonsense), Accepts: true},
		{Method: method, Nonsense: nonsense, AcceptsAll: true, Why: "accepts everything"},
	}
}

func letter(m meaning) string {
	switch {
	case m.says == policy.Yes && m.weak:
		return "W"
	case m.says == policy.Yes:
		return "Y"
	case m.says == policy.No:
		return "N"
	case m.says != policy.Unsure:
		return "?"
	case m.byRCPT && m.worn:
		return "B"
	case m.byRCPT:
		return "R"
	case m.worn:
		return "X"
	}
	return "U"
}

func parseReply(t testing.TB, lines string) policy.Reply {
	t.Helper()
	r, err := readReply(bufio.NewReader(strings.NewReader(lines + "\r\n")))
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	return r
}

func tryParse(lines string) (policy.Reply, bool) {
	r, err := readReply(bufio.NewReader(strings.NewReader(lines + "\r\n")))
	return r, err == nil
}
