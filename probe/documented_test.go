package probe

import (
	"strings"
	"testing"

	"postwhere/policy"
)

// documented are the replies of PROTOCOL.md A2 and A3 and of FIELD.md, as far as
// they are not in A1: read in source or documentation.
var documented = []meaningRow{
	{"Exchange VRFY", "252 2.1.5 Cannot VRFY user, but will take message for <ADDRESS>", byRCPT, weak},
	{"Exchange unknown", "550 5.1.1 User unknown", no, no},
	{"Exchange unknown, newer", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ADDRESS not found by SMTP address lookup", no, no},
	{"Exchange Online unknown", "550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [DB5EUR03FT051.eop-EUR03.prod.protection.outlook.com]", vagueVRFY, vagueRCPT},
	{"Exchange Online, us", "550 5.4.1 Access denied, banned sending IP", byRCPT, unsure},
	{"Exchange Online block list", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", unsure, unsure},
	{"MDaemon full", "452 Requested action not taken: insufficient system storage", unsure, unsure},
	{"MDaemon, Domain Sharing trouble", "451 Requested action aborted: local error in processing", unsure, unsure},
	{"Domino known", "250 Anna <ADDRESS>", yes, yes},
	{"Domino VRFY forwarded", "252 will forward ADDRESS", byRCPT, weak},
	{"Domino VRFY group", "550 ADDRESS is a group not a user", vagueVRFY, vagueRCPT},
	{"Domino VRFY mail-in database", "550 ADDRESS", vagueVRFY, vagueRCPT},
	{"Domino VRFY not unique", "553 ADDRESS not unique", vagueVRFY, vagueRCPT},
	{"qmail VRFY", "252 send some mail, i'll try my best", byRCPT, weak},
	{"qmail patched", "553 sorry, no mailbox here by that name. (#5.1.1)", no, no},
	{"qmail rcpthosts", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", unsure, unsure},
	{"Haraka VRFY", "252 Just try sending a mail and we'll see how it turns out...", byRCPT, weak},
	{"Haraka unknown", "550 I cannot deliver mail for <ADDRESS>", vagueVRFY, vagueRCPT},
	{"Haraka, trouble", "450 try again", unsure, unsure},
	{"Stalwart VRFY off", "252 2.5.1 VRFY is disabled.", byRCPT, weak},
	{"Stalwart VRFY known", "250 ADDRESS", yes, yes},
	{"Stalwart VRFY unknown", "550 5.1.2 Address not found.", vagueVRFY, vagueRCPT},
	{"Stalwart VRFY trouble", "252 2.4.3 Unable to verify address at this time.", byRCPT, weak},
	{"Stalwart RCPT unknown", "550 5.1.2 Mailbox does not exist.", vagueVRFY, vagueRCPT},
	{"Stalwart relay", "550 5.1.2 Relay not allowed.", byRCPT, unsure},
	{"Stalwart worn", "451 4.3.0 Too many errors, disconnecting.", worn, worn},
	{"Stalwart greylisting", "452 4.2.2 Greylisted, please try again in a few moments.", yes, yes}, // see below
	{"mox VRFY", "252 2.7.0 no verify but will try delivery", byRCPT, weak},
	{"mox unknown", "550 5.1.1 no such user(s)", no, no},
	{"mox, not its domain", "550 5.1.1 not accepting email for domain", no, no},
	{"go-smtp VRFY", "252 2.5.0 Cannot VRFY user, but will accept message", byRCPT, weak},
	{"go-smtp worn", "500 5.5.1 Too many errors. Quiting now", byRCPT, worn},
	{"James VRFY", "502 5.3.3 VRFY is not supported", byRCPT, unsure},
	{"hMailServer VRFY", "502 VRFY disallowed.", byRCPT, unsure},
	{"hMailServer unknown", "550 Unknown user", vagueVRFY, vagueRCPT},
	{"Cyrus VRFY", "252 2.3.3 try RCPT to attempt delivery", byRCPT, weak},

	{"251", "251 User not local; will forward to <anna@other.test>", weak, weak},
	{"bare 250", "250", yes, yes},
	{"bare 252", "252", byRCPT, weak},
	{"bare 550", "550", vagueVRFY, vagueRCPT},
	{"bare 551", "551", vagueVRFY, vagueRCPT},
	{"551", "551 User not local; please try <anna@other.test>", worn, worn}, // another's, as far as can be told
	{"551 5.7.1", "551 5.7.1 not local", unsure, unsure},
	{"moved", "551 5.1.6 <ADDRESS>: moved to other.test", no, no},
	{"553 5.1.4", "553-5.1.4 ambiguous\r\n553 5.1.4 anna, anne", unsure, unsure},
	{"553 5.1.3", "553 5.1.3 <ADDRESS>: bad syntax", vagueVRFY, vagueRCPT},
	{"553 ambiguous", "553 User ambiguous", vagueVRFY, vagueRCPT},
	{"501 5.1.3", "501 5.1.3 ADDRESS: bad syntax", vagueVRFY, vagueRCPT},
	{"550 5.6.8", "550 5.6.8 the reply would need UTF-8", unsure, unsure},
	{"550 5.6.7", "550 5.6.7 no UTF-8 here", unsure, unsure},
	{"553 5.6.8", "553 5.6.8 the reply would need UTF-8", unsure, unsure},
	{"550 5.5.2", "550 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", unsure, unsure},
	{"550 5.1.0", "550 5.1.0 ADDRESS: address rejected", vagueVRFY, vagueRCPT},
	{"Postfix, unlisted sender", "550 5.1.0 <probe@front.test>: Sender address rejected: User unknown in virtual mailbox table", "XXRRX", "XXUUX"},
	{"550 5.1.8, sender's domain", "550 5.1.8 <>: Sender address rejected: Domain not found", unsure, unsure},
	{"431", "431 4.2.4 x", unsure, unsure},
	{"432", "432 4.3.2 x", unsure, unsure},
	{"450 with a decisive class", "450 5.1.1 no such user", unsure, unsure},
	{"450 rate", "450 4.7.1 Error: too much mail from 127.0.0.1", unsure, unsure},
	{"bare 450", "450 mailbox unavailable", unsure, unsure},
	{"454 TLS", "454 4.7.0 TLS not available due to local problem", unsure, unsure},
	{"455", "455 4.5.4 x", unsure, unsure},
	{"452 other", "452 4.3.1 Insufficient system storage", unsure, unsure},
	{"451 4.5.3", "451 4.5.3 Too many recipients", worn, worn},
	{"500", "500 x", byRCPT, unsure},
	{"504", "504 x", byRCPT, unsure},
	{"521", "521 5.3.2 d.test accepts no mail", unsure, unsure},
	{"bare 521", "521 d.test does not accept mail", unsure, unsure},
	{"bare 556", "556 d.test does not accept mail", unsure, unsure},
	{"521 with a decisive code", "521 5.1.1 d.test accepts no mail", unsure, unsure},
	{"524 other", "524 5.2.3 x", unsure, unsure},
	{"552 with a decisive code", "552 5.1.1 ADDRESS: mailbox full", unsure, unsure},
	{"555 with a decisive code", "555 5.1.1 unknown parameter", unsure, unsure},
	{"556", "556 5.1.10 d.test accepts no mail", unsure, unsure}, // of the domain: RFC 7505
	{"530 auth", "530 5.7.0 Authentication required", unsure, unsure},
	{"535", "535 5.7.8 x", unsure, unsure},
	{"552 other", "552 5.3.4 message too big", unsure, unsure},
	{"bare 552", "552 Exceeded storage allocation", unsure, unsure},
	{"550 5.3.0", "550 5.3.0 x", unsure, unsure},
	{"550 5.5.1", "550 5.5.1 x", unsure, unsure},
	{"550 5.7.1", "550 5.7.1 ADDRESS: user unknown", unsure, unsure},
	{"550 5.4.4", "550 5.4.4 unable to look up host", unsure, unsure},
	{"554 decisive", "554 5.1.1 no such user", no, no},
	{"554 bare", "554 no such user", worn, worn},
	{"554 vague", "554 5.1.0 no such user", unsure, unsure},
	{"555", "555 5.5.4 Unsupported option", unsure, unsure},
	{"571", "571 Blocked", unsure, unsure},
	{"354", "354 End data with <CR><LF>.<CR><LF>", unsure, unsure},
	{"220", "220 ready", unsure, unsure},
	{"221", "221 2.0.0 Bye", unsure, unsure},
	{"250 and a refusal in one", "250 5.1.1 no such user", unsure, unsure},
	{"251 and a refusal in one", "251 5.7.1 no", unsure, unsure},
	{"550 of another class", "550 2.2.1 x", unsure, unsure},
	{"550 of class 4", "550 4.1.1 x", unsure, unsure},
}

func TestWhatHostsAreKnownToSay(t *testing.T) { testMeanings(t, documented) }

// A host that greylists with a code of full mailboxes (Stalwart: 452 4.2.2)
// greylists the nonsense address too. So it is calibrated as one that accepts
// everything, and its yes is not believed.
func TestGreylistingByTheCodeOfAFullMailboxIsNoYes(t *testing.T) {
	r := parseReply(t, "452 4.2.2 Greylisted, please try again in a few moments.")
	if !(question{method: RCPT, address: nonsense}).accepts(r) {
		t.Error("the nonsense address is not seen to be accepted")
	}
}

// The vague no of a host that is known to say it so counts for no other reply.
func TestVagueNoMustBeAsThisHostRefuses(t *testing.T) {
	refusal := parseReply(t, "550 "+nonsense+" is unknown here")
	c := Calibration{Tells: true, Accepts: true, Nonsense: nonsense, Refusal: refusal}
	for reply, want := range map[string]policy.Says{
		"550 anna@d.test is unknown here":          policy.No,
		"550 ANNA@D.test  is Unknown\there":        policy.No,
		"550-anna@d.test\r\n550 is unknown here":   policy.No,
		"550 5.1.0 anna@d.test is unknown here":    policy.Unsure,
		"551 anna@d.test is unknown here":          policy.Unsure,
		"553 anna@d.test is unknown here":          policy.Unsure,
		"501 anna@d.test is unknown here":          policy.Unsure,
		"550 bert@d.test is unknown here":          policy.Unsure,
		"550 anna@d.test is over quota":            policy.Unsure,
		"550 anna@d.test is for members only":      policy.Unsure,
		"550 anna@d.test takes no bounces":         policy.Unsure,
		"550 anna@d.test is suspended":             policy.Unsure,
		"550 you may not write to anna@d.test":     policy.Unsure,
		"550 message refused":                      policy.Unsure,
		"550 directory error":                      policy.Unsure,
		"550 anna@d.test is unknown here, for now": policy.Unsure,
		"550": policy.Unsure,
	} {
		for _, method := range []Method{VRFY, RCPT} {
			q := question{method: method, address: anna, calibration: c}
			if got := q.read(parseReply(t, reply)); got.says != want {
				t.Errorf("%s %q: %s (%s), want %s", method, reply, got.says, got.why, want)
			}
		}
	}
}

// A refusal that names another address is the reply to another question, or about
// what an alias leads to: not about this very address.
func TestRefusalOfAnotherAddressIsNoNo(t *testing.T) {
	decisively := Calibration{Tells: true, Nonsense: nonsense, Refusal: parseReply(t, "550 5.1.1 <"+nonsense+">: User unknown")}
	helpful := Calibration{Tells: true, Accepts: true, Nonsense: nonsense, Refusal: parseReply(t, "550 5.1.1 "+nonsense+" is unknown, write to postmaster@d.test")}
	itself := Calibration{Tells: true, Nonsense: nonsense, Refusal: parseReply(t, "550 5.1.1 <"+strings.Replace(nonsense, "@", "=x@", 1)+">: User unknown")}
	masquerade := Calibration{Tells: true, Nonsense: nonsense, Refusal: parseReply(t, "550 5.1.1 <"+strings.Replace(nonsense, "@", "@mailbox.", 1)+">: User unknown")}
	unseen := helpful // it was not seen to accept anybody
	unseen.Accepts = false
	// While it was calibrated the host was out of step already.
	stray := Calibration{Tells: true, Nonsense: nonsense, Refusal: parseReply(t, "550 5.1.1 <carl1@d.test>: User unknown")}
	for _, tt := range []struct {
		reply string
		c     Calibration
		want  policy.Says
	}{
		{"550 5.1.1 <" + nonsense + ">: User unknown", decisively, policy.Unsure},
		{"550 5.1.1 <bert@D.test>: User unknown", decisively, policy.Unsure},
		{"550 5.1.1 <bert@d.test>: User unknown", Calibration{}, policy.Unsure},
		{"550 5.1.1 <joanna@d.test>: User unknown", decisively, policy.Unsure},
		{"550 5.1.1 <jo.anna@d.test>: User unknown", decisively, policy.Unsure},
		{"550 5.1.1 mailto:anna@d.test, unknown", decisively, policy.No},
		{"550 5.1.1 <Anna@D.TEST>: User unknown", decisively, policy.No},
		{"550 5.1.1 <anna@mailbox.d.test>: User unknown", decisively, policy.Unsure},
		{"550 5.1.1 <anna@mailbox.d.test>: User unknown", masquerade, policy.No},
		{"550 5.1.1 <bert@mailbox.d.test>: User unknown", masquerade, policy.Unsure},
		{"550 5.1.1 <bert@other.test>: User unknown", decisively, policy.Unsure},
		{"550 5.1.1 <probe@front.test>: User unknown", decisively, policy.Unsure}, // our sender
		{"550 5.1.1 User unknown", decisively, policy.No},
		{"550 5.1.1 anna@d.test is unknown, write to postmaster@d.test", helpful, policy.No},
		{"550 5.1.1 anna@d.test is unknown, write to postmaster@d.test", unseen, policy.Unsure},
		{"550 5.1.1 bert@d.test is unknown, write to postmaster@d.test", helpful, policy.Unsure},
		{"550 5.1.1 joanna@d.test is unknown, write to postmaster@d.test", helpful, policy.Unsure},
		{"550 5.1.1 <anna=x@d.test>: User unknown", itself, policy.No},
		{"550 5.1.1 <bert=x@d.test>: User unknown", itself, policy.Unsure},
		{"550 5.1.1 <bert2@d.test>: User unknown", stray, policy.Unsure},
		{"550 5.1.1 <anna@d.test>: User unknown", stray, policy.No},
	} {
		tt.c.Plain = tt.c.Tells && isPlain(tt.c.Refusal, nonsense)
		if m := (question{method: VRFY, address: anna, calibration: tt.c}).read(parseReply(t, tt.reply)); m.says != tt.want {
			t.Errorf("%q: %s (%s), want %s", tt.reply, m.says, m.why, tt.want)
		}
	}
}

// Hosts put in what changes: the local part alone, the time, a number.
func TestWordsThatChangeAreNotCompared(t *testing.T) {
	for _, tt := range []struct{ refusal, reply string }{
		{"550 no such user: postwherea2b3c4", "550 no such user: anna"},
		{"550 user postwherea2b3c4, here, is unknown", "550 user anna, here, is unknown"},
		{"550 unknown [2025-11-23T17:00:00Z 08DE]", "550 unknown [2025-11-24T09:30:12Z 17AB]"},
		{"550 unknown (mx1.d.test)", "550 unknown (mx2.d.test)"},
	} {
		c := Calibration{Tells: true, Accepts: true, Nonsense: nonsense, Refusal: parseReply(t, tt.refusal)}
		if m := (question{method: RCPT, address: anna, calibration: c}).read(parseReply(t, tt.reply)); m.says != policy.No {
			t.Errorf("%q behind %q: %s, %s", tt.reply, tt.refusal, m.says, m.why)
		}
	}
	// A number may be what tells one refusal from another.
	for _, tt := range []struct{ refusal, reply string }{
		{"550 #5.1.0 Address rejected.", "550 #5.7.1 Address rejected."}, // IronPort
		{"550 Address rejected (#5.1.0) here", "550 Address rejected (#5.7.1) here"},
		{"550 Error 17", "550 Error 23"},
		{"550 Error: 17.", "550 Error: 23."},
		{"550 said: 550 here", "550 said: 451 here"},
	} {
		c := Calibration{Tells: true, Accepts: true, Nonsense: nonsense, Refusal: parseReply(t, tt.refusal)}
		if m := (question{method: RCPT, address: "anna@d.test", calibration: c}).read(parseReply(t, tt.reply)); m.says != policy.Unsure {
			t.Errorf("%q behind %q: %s", tt.reply, tt.refusal, m.says)
		}
	}
	// A mailbox may be called by a word of the refusal.
	c := Calibration{Tells: true, Accepts: true, Nonsense: nonsense, Refusal: parseReply(t, "550 user unknown")}
	if m := (question{method: RCPT, address: "user@d.test", calibration: c}).read(parseReply(t, "550 user unknown")); m.says != policy.No {
		t.Errorf("%s, %s", m.says, m.why)
	}
	if strings.Contains(nonsense, "anna") {
		t.Fatal("the test needs two addresses")
	}
}
