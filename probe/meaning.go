package probe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"postwhere/policy"
)

// question is what a reply answers: the verb, and the address as it was put.
type question struct {
	method  Method // VRFY or RCPT
	address string // as it went into the dialogue
	// calibration is how the host answers questions of this kind; its zero value
	// believes no yes and only a decisive no.
	calibration Calibration
	means252    Meaning252
}

// meaning is what a reply to a question says of the mailbox.
type meaning struct {
	says policy.Says
	weak bool
	why  string // why unsure
	// denied: it is a no, and not believed.
	denied bool
	// byRCPT: VRFY cannot tell about this address, RCPT may.
	byRCPT bool
	// worn: the reply is about the connection. If it has carried questions
	// before, a fresh one is worth a try.
	worn bool
}

// decisive are the enhanced codes that say "no such mailbox" and nothing else
// (RFC 3463 section 3.2, and RFC 3463's heirs: 5.1.10 is Exchange's).
var decisive = []string{"5.1.1", "5.1.6", "5.1.10"}

// fullOrDisabled are the enhanced codes of a mailbox that is there and takes no
// mail now.
var fullOrDisabled = []string{"4.2.1", "4.2.2", "5.2.1", "5.2.2"}

// vague are the enhanced codes with which a host may refuse an unknown mailbox,
// or us. They count only from a host that was calibrated to use them so.
var vague = []string{"", "5.1.0", "5.1.2", "5.1.3", "5.0.0", "5.4.1"}

// read is the one place where a reply becomes an answer. Only what the table
// "Only these are no" has is a no; all else is unsure. It is pure.
func (q question) read(r policy.Reply) meaning {
	switch {
	case q.accepts(r):
		return q.believe(r)
	case q.isAsCalibrated(r):
		return meaning{says: policy.No}
	case q.method == VRFY && r.Code == 252:
		return meaning{says: policy.Unsure, why: "VRFY does not tell", byRCPT: true}
	case (isDecisive(r) || isVague(r)) && q.isOfAnother(r):
		return meaning{says: policy.Unsure, why: "it speaks of another address", worn: true}
	case isPlain(r, q.address):
		return meaning{says: policy.No}
	case isDecisive(r) || isVague(r):
		m := q.doubt(r)
		m.byRCPT = q.method == VRFY && m.says == policy.Unsure
		return m
	case q.method == VRFY && (r.Code == 500 || r.Code == 501 || r.Code == 502 || r.Code == 504):
		return meaning{says: policy.Unsure, why: "no VRFY here", byRCPT: true}
	}
	return meaning{says: policy.Unsure, why: "not about the mailbox", worn: wearsOut(r)}
}

// isAsCalibrated tells whether a refusal is to the letter that of the nonsense
// address, but for the address, and says nothing but no. It spares most refusals a
// closer look.
func (q question) isAsCalibrated(r policy.Reply) bool {
	c := &q.calibration
	if !c.Plain || r.Code != c.Refusal.Code || r.Enhanced != c.Refusal.Enhanced {
		return false
	}
	before, behind, found := strings.Cut(r.Text, q.address)
	wantBefore, wantBehind, want := strings.Cut(c.Refusal.Text, c.Nonsense)
	return found == want && before == wantBefore && behind == wantBehind
}

// accepts tells whether a reply says that the mailbox is there, as far as the
// host can be believed at all.
func (q question) accepts(r policy.Reply) bool {
	switch r.Code {
	case 250, 251:
		return r.Enhanced == "" || r.Enhanced[0] == '2'
	case 252:
		// Postfix says 252 where it knows the mailbox, and echoes our argument;
		// others say it to whatever they will not tell.
		if q.method == RCPT {
			return r.Enhanced == "" || r.Enhanced[0] == '2'
		}
		switch q.means252 {
		case AlwaysYes:
			return r.Enhanced == "" || r.Enhanced[0] == '2'
		case NeverYes:
			return false
		}
		return r.Enhanced == "2.0.0" && strings.TrimSpace(r.Text) == q.address
	case 552, 452, 550:
		// The mailbox is full or disabled: its host decides at delivery.
		return slices.Contains(fullOrDisabled, r.Enhanced)
	}
	return false
}

// believe weighs a yes: it counts only from a host that does not say it to
// everything.
func (q question) believe(r policy.Reply) meaning {
	if !q.calibration.Tells {
		return meaning{says: policy.Unsure, why: q.calibration.Why}
	}
	return meaning{says: policy.Yes, weak: r.Code == 251 || r.Code == 252 && q.method == RCPT}
}

// doubt weighs a no that is vague, or speaks of something else than the mailbox: the
// host must have refused the nonsense address just so, in the same words, and must
// have been seen to accept something. A vague one must not speak of us, the sender
// or a policy at all.
func (q question) doubt(r policy.Reply) meaning {
	c := q.calibration
	no := func(format string, args ...any) meaning {
		return meaning{says: policy.Unsure, why: fmt.Sprintf(format, args...), worn: wearsOut(r)}
	}
	switch word := aboutUs(r, q.address); {
	case !c.Tells:
		return no("%s", c.Why)
	case c.Refusal.Code != r.Code || c.Refusal.Enhanced != r.Enhanced:
		return no("not how this host refused an unknown address (%d %s)", c.Refusal.Code, c.Refusal.Enhanced)
	case word != "" && isVague(r):
		return no("the text speaks of %q, not of the mailbox", word)
	case !q.sameWords(r):
		return no("not the words in which this host refused an unknown address (%q)", c.Refusal.Text)
	case !c.Accepts:
		return no("this host has not been seen to accept any address, nor its control address")
	}
	return meaning{says: policy.No}
}

// secondHand is a refusal that repeats what another machine said, or that it
// could not be asked: Postfix's reject_unverified_recipient says 5.1.1 to all of that.
var secondHand = regexp.MustCompile(`(?i)undeliverable address|unverified address|\bsaid: ?[45]\d\d`)

// isDecisive tells whether a reply is a no from any host.
func isDecisive(r policy.Reply) bool {
	// 552 is about a mailbox that there is, 555 about our parameters, 556 about the
	// domain, whatever else they say (RFC 5321 section 4.2.3, RFC 7504, RFC 7505).
	return slices.Contains([]int{550, 551, 553, 554}, r.Code) && slices.Contains(decisive, r.Enhanced) && !secondHand.MatchString(r.Text) ||
		r.Code == 524 && r.Enhanced == "5.2.4" // OpenSMTPD: not in its virtual table
}

// isPlain tells whether a no from any host speaks of nothing else: "Sender address
// rejected: User unknown" has the same code.
func isPlain(r policy.Reply, address string) bool {
	return isDecisive(r) && aboutUs(r, address) == "" &&
		!slices.ContainsFunc(others(r, address), func(named string) bool { return named != ours })
}

// isVague tells whether a reply is a no from a host that is known to say it so.
func isVague(r policy.Reply) bool {
	return slices.Contains([]int{550, 551, 553, 501}, r.Code) &&
		(slices.Contains(vague, r.Enhanced) || slices.Contains(decisive, r.Enhanced) && secondHand.MatchString(r.Text))
}

// wearsOut tells whether a reply may be about the connection's wear: 421 (also
// what a host says to a connection that was idle for too long), Exim's "554 Too
// many nonmail commands", too many recipients (4.5.3), 503 out of sequence.
func wearsOut(r policy.Reply) bool {
	return r.Code == 421 || r.Code == 503 || r.Code == 554 && r.Enhanced == "" ||
		strings.HasSuffix(r.Enhanced, ".5.3") || strings.Contains(strings.ToLower(r.Text), "too many")
}

// aboutUsWords are what a refusal, in lower case, speaks of that is about the client,
// the sender or the host's policy.
var aboutUsWords = regexp.MustCompile(`relay|not permitted|not allowed|denied|prohibit|block|black ?list|deny ?list|` +
	`\brbl\b|dnsbl|spamhaus|\bspam|reputation|polic(y|ies)|too many|\brate\b|limit|throttl|authent|authori[sz]|\bauth\b|\bhelo\b|\behlo\b|client|` +
	`sender|\baccess\b|bad recipients|tls\b|encrypt|\bban|greylist|\bip\b|reverse|\bptr\b|\bspf\b|try again|temporar`)

// microsoftRefusal is how Exchange Online refuses an unknown recipient: in words
// that others use for clients.
const microsoftRefusal = "Recipient address rejected: Access denied"

// relayTable is where Postfix looks recipients of relay_domains up.
const relayTable = "User unknown in relay recipient table"

// aboutUs returns the word in a refusal's text that speaks of us, "" if none
// does. The address asked about is taken out first: spam@ is a mailbox. Its local
// part alone is not: client@ would take the word out of "client rejected".
func aboutUs(r policy.Reply, address string) string {
	text := strings.ReplaceAll(r.Text, relayTable, " ")
	if r.Enhanced == "5.4.1" {
		text = strings.ReplaceAll(text, microsoftRefusal, " ")
	}
	return aboutUsWords.FindString(strings.Join(words(text, address, " "), " "))
}

// words returns the words of a text in lower case, with instead for the address
// in it: as it went into the dialogue, or without quotes.
func words(text, address, instead string) []string {
	spellings := []string{address}
	if a, err := policy.ParseAddress(address); err == nil {
		spellings = append(spellings, a.Local()+"@"+a.Domain())
	}
	text = strings.ToLower(text)
	for _, s := range spellings {
		if s != "" {
			text = strings.ReplaceAll(text, strings.ToLower(s), instead)
		}
	}
	return strings.Fields(text)
}

// sameWords tells whether a refusal is in the words in which the host refused
// the nonsense address: "mailbox is full" or "members only", under the same code,
// is not about an unknown mailbox. Words with a digit in them are not compared, for
// hosts put in the time, and numbers of their own; but codes are.
func (q question) sameWords(r policy.Reply) bool {
	c := q.calibration
	return slices.EqualFunc(words(r.Text, q.address, "@"), words(c.Refusal.Text, c.Nonsense, "@"), func(got, want string) bool {
		return got == want ||
			isLocalOf(want, c.Nonsense) && isLocalOf(got, q.address) ||
			digit.MatchString(want) && digit.MatchString(got) && !codeWord.MatchString(want+" "+got)
	})
}

// codeWord is an enhanced code, as IronPort (#5.1.0) and others have it within the
// text, or a short number; digit is in whatever else may change.
var (
	digit    = regexp.MustCompile(`[0-9]`)
	codeWord = regexp.MustCompile(`[245]\.[0-9]{1,3}\.[0-9]{1,3}|(^| )[^0-9a-z]*[0-9]{1,4}[^0-9a-z]*($| )`)
)
