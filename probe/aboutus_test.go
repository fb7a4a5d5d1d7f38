package probe

import (
	"strings"
	"testing"

	"postwhere/policy"
)

// refusals that are about us, the sender or a rule of the host, under a code that
// is also said of unknown mailboxes.
var refusalsOfUs = []string{
	"relay not permitted", "Relay access denied", "we do not relay", "Relaying denied", "not permitted", "Not allowed here", "Administrative prohibition",
	"prohibited", "your host is blocked", "blocklisted", "on our blacklist", "black list", "deny list", "denylisted", "found in an RBL", "listed by DNSBL",
	"see www.spamhaus.org", "spam source", "bad reputation", "local policy", "violates our policies", "Rejected for too many bad recipients", "too many errors",
	"rate exceeded", "over the limit", "rate limiting", "throttled", "please authenticate", "authentication required", "SMTP AUTH first", "bad HELO", "bad EHLO name",
	"client host rejected", "Sender verify failed", "senders must exist", "access refused", "bad recipients", "use TLS", "Must issue a STARTTLS command first",
	"encryption required", "you are banned", "banned address", "greylisted", "IP refused", "no reverse DNS", "no PTR record", "SPF fail", "try again later",
	"temporary failure", "you are not authorized", "not authorised to write here", "unauthorized",
	"too\nmany errors", "not\nallowed", "try  again", "bad\trecipients",
}

func TestRefusalOfUsIsNoNo(t *testing.T) {
	for _, text := range refusalsOfUs {
		for _, dressed := range []string{text, strings.ToUpper(text), "<" + anna + ">: " + text, text + ": " + anna, "Sorry,\n" + text + "\nand good bye"} {
			reply := policy.Reply{Code: 550, Text: dressed}
			// Even if it is how the nonsense address was refused.
			c := Calibration{Tells: true, Accepts: true, Nonsense: nonsense, Refusal: policy.Reply{Code: 550, Text: strings.ReplaceAll(dressed, anna, nonsense)}}
			for _, method := range []Method{VRFY, RCPT} {
				q := question{method: method, address: anna, calibration: c}
				if m := q.read(reply); m.says != policy.Unsure || m.why == "" {
					t.Errorf("%s %q: %s", method, reply, m.says)
				}
			}
		}
	}
}

// An address may be called by any of the words. What a host says of it is not
// about us, in whichever spelling the host has it; but a word that stays when the
// address is gone is.
func TestAddressIsTakenOutOfTheText(t *testing.T) {
	locals := []string{
		"relay", "spam", "policy", "blocked", "sender", "limit", "client", "Access", "TLS", "x.relay+spam", "too many", "not allowed", `try "again"`, `black\list`, "sender.reverse",
		"relay@x", "größe.limit", "ip",
	}
	for _, local := range locals {
		a, err := policy.ParseAddress(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"@d.test`)
		if err != nil || a.Local() != local {
			t.Fatalf("%q: %v, %v", local, a, err)
		}
		for _, spelling := range []string{a.String(), a.Local() + "@" + a.Domain(), strings.ToUpper(a.String()), strings.ToLower(a.Local()) + "@D.TEST"} {
			for _, text := range []string{spelling, "<" + spelling + "> unknown", "no such user: " + spelling + ".", spelling + " " + spelling, "user\n" + spelling + "\nunknown"} {
				if word := aboutUs(policy.Reply{Code: 550, Text: text}, a.String()); word != "" {
					t.Errorf("%q about %v: %q is taken for a word about us", text, a, word)
				}
				for _, more := range []string{" is blocked", " is on my relay", ": sender refused"} {
					if aboutUs(policy.Reply{Code: 550, Text: text + more}, a.String()) == "" {
						t.Errorf("%q about %v: nothing about us is seen", text+more, a)
					}
				}
			}
		}
	}
}

// The local part alone is left in: without it "client host rejected" would be
// about client@. So the no to such an address is unsure, where the host has the
// local part only.
func TestLocalPartAloneStays(t *testing.T) {
	for local, text := range map[string]string{
		"client": "client host rejected", "relay": "relay for d.test", "policy": "policy violation", "sender": "sender unknown", "ip": "ip 192.0.2.1 unknown",
	} {
		if aboutUs(policy.Reply{Code: 550, Text: text}, local+"@d.test") == "" {
			t.Errorf("%q: nothing about us is seen", text)
		}
	}
	if aboutUs(policy.Reply{Code: 550, Text: "from ipx@d.testis refused"}, "x@d.test") == "" {
		t.Error("a word that the address ran into is lost")
	}
}

// Exchange Online refuses unknown recipients in words that others use for
// clients: only under its own code, and only these.
func TestMicrosoftsRefusal(t *testing.T) {
	for reply, about := range map[string]bool{
		"550 5.4.1 Recipient address rejected: Access denied":                                                                    false,
		"550 5.4.1 [anna@d.test]: Recipient address rejected: Access denied. [x.prod.outlook.com 2025-11-23T17:00:00.000Z 08DE]": false,
		"550 5.4.1 Recipient address rejected: Access denied, banned":                                                            true,
		"550 5.4.1 Access denied":                                 true,
		"550 5.1.0 Recipient address rejected: Access denied":     true,
		"550 Recipient address rejected: Access denied":           true,
		"550 5.4.1 Recipient address rejected: Sender has no SPF": true,
	} {
		if got := aboutUs(parseReply(t, reply), anna) != ""; got != about {
			t.Errorf("%q: about us %v, want %v", reply, got, about)
		}
	}
}
