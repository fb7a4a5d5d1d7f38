package probe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"postwhere/policy"
)

// oracle says what a reply to a question means by the list "Only these are no",
// in its own words: it shares nothing with question.read.
func oracle(method Method, address string, c Calibration, r policy.Reply) policy.Says {
	class := ""
	if r.Enhanced != "" {
		class = r.Enhanced[:1]
	}
	full := (class == "4" || class == "5") && (r.Enhanced[1:] == ".2.1" || r.Enhanced[1:] == ".2.2")
	switch {
	case (r.Code == 552 || r.Code == 452 || r.Code == 550) && full,
		(r.Code == 250 || r.Code == 251) && (class == "" || class == "2"),
		r.Code == 252 && method == RCPT && (class == "" || class == "2"),
		r.Code == 252 && method == VRFY && r.Enhanced == "2.0.0" && r.Text == address:
		if c.Tells {
			return policy.Yes
		}
		return policy.Unsure
	}
	asNonsense := c.Tells && c.Accepts && c.Refusal.Code == r.Code && c.Refusal.Enhanced == r.Enhanced
	last := strings.TrimPrefix(r.Enhanced, "5.1.")
	switch {
	case (r.Code == 550 || r.Code == 551 || r.Code == 553 || r.Code == 554) && class == "5" && (last == "1" || last == "6" || last == "10"),
		r.Code == 524 && r.Enhanced == "5.2.4":
		if speaksOfUs(r.Text, address) && !asNonsense {
			return policy.Unsure
		}
		return policy.No
	}
	vagueCode := r.Code == 550 || r.Code == 551 || r.Code == 553 || r.Code == 501
	vagueEnhanced := map[string]bool{"": true, "5.1.0": true, "5.1.2": true, "5.1.3": true, "5.0.0": true, "5.4.1": true}[r.Enhanced]
	if vagueCode && vagueEnhanced && asNonsense && !speaksOfUs(r.Text, address) {
		return policy.No
	}
	return policy.Unsure
}

// speaksOfUs has the words of the list: block, policy, relaying, limit,
// authentication and sender. Postfix's name for a table is none of them.
func speaksOfUs(text, address string) bool {
	text = strings.ReplaceAll(strings.ToLower(text), strings.ToLower(address), " ")
	text = strings.ReplaceAll(text, "user unknown in relay recipient table", " ")
	return slices.ContainsFunc(strings.FieldsFunc(text, func(c rune) bool { return !unicode.IsLetter(c) }), func(word string) bool {
		return slices.ContainsFunc([]string{"block", "policy", "policies", "relay", "limit", "authenticat", "sender"}, func(bad string) bool {
			return strings.Contains(word, bad)
		})
	})
}

// enhancedCodes are all that the loop below puts to the question.
func enhancedCodes() []string {
	list := []string{"", "5.0.0", "4.0.0", "2.0.0", "2.1.0", "2.1.5", "2.2.1", "2.2.2", "4.2.1", "4.2.2", "5.2.0", "5.2.1", "5.2.2", "5.2.3", "5.2.4",
		"5.2.10", "5.2.22", "5.3.0", "5.4.0", "5.4.1", "5.4.4", "5.4.10", "5.6.7", "5.1.100", "5.11.1", "5.10.1", "4.4.2", "4.5.3", "4.7.1", "2.1.1", "4.3.2"}
	for i := range 16 {
		list = append(list, fmt.Sprintf("5.1.%d", i), fmt.Sprintf("4.1.%d", i))
	}
	for i := range 9 {
		list = append(list, fmt.Sprintf("5.5.%d", i), fmt.Sprintf("5.7.%d", i))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestNoReplyIsANoButThoseOfTheList(t *testing.T) {
	texts := []string{
		"", "no such user", anna, "<ADDRESS>: Recipient address rejected", "your network is on a block list", "local policies", "relaying to <ADDRESS>",
		"over the limit", "you must authenticate", "bad sender",
	}
	if testing.Short() {
		texts = texts[:4]
	}
	count := map[policy.Says]int{}
	for code := 200; code < 600; code++ {
		for _, enhanced := range enhancedCodes() {
			for _, text := range texts {
				reply := policy.Reply{Code: code, Enhanced: enhanced, Text: strings.ReplaceAll(text, "ADDRESS", anna)}
				refusal := policy.Reply{Code: code, Enhanced: enhanced, Text: strings.ReplaceAll(text, "ADDRESS", nonsense)}
				if text == anna {
					refusal.Text = nonsense
				}
				for _, method := range []Method{VRFY, RCPT} {
					for _, c := range calibrationsLike(method, refusal) {
						got := question{method: method, address: anna, calibration: c}.read(reply)
						if want := oracle(method, anna, c, reply); got.says != want {
							t.Fatalf("%s %q: %s (%s), want %s; calibration %+v", method, reply, got.says, got.why, want, c)
						}
						if got.says == policy.Unsure && got.byRCPT && method == RCPT {
							t.Fatalf("%s %q: is to be asked by RCPT", method, reply)
						}
						count[got.says]++
					}
				}
			}
		}
	}
	if count[policy.Yes] == 0 || count[policy.No] == 0 || count[policy.Unsure] == 0 {
		t.Errorf("not all met: %v", count)
	}
}

// FuzzReadMeaning puts any reply, to a question about any address, to a host of
// any kind: nothing may panic, and no more than the oracle's is a no or a yes.
func FuzzReadMeaning(f *testing.F) {
	for _, rows := range [][]meaningRow{seen, documented} {
		for _, row := range rows {
			f.Add(strings.ReplaceAll(row.reply, "ADDRESS", anna), strings.ReplaceAll(row.reply, "ADDRESS", nonsense), "anna")
		}
	}
	f.Add("550 5.1.1 <anna@d.test.au> unknown", "550 5.1.1 <postwherea2b3c4@d.test> unknown", "anna")
	f.Add("550 5.1.1 <joanna@d.test> unknown", "550 5.1.1 <postwherea2b3c4@d.test> unknown", "anna")
	f.Add(`550 "a b"@d.test unknown`, "550 postwherea2b3c4@d.test unknown", `a b`)
	f.Fuzz(func(t *testing.T, said, refused, local string) {
		a, err := policy.ParseAddress(local + "@d.test")
		if err != nil {
			return
		}
		reply, ok := tryParse(said)
		refusal, refusedToo := tryParse(refused)
		if !ok || !refusedToo {
			return
		}
		for _, method := range []Method{VRFY, RCPT} {
			for _, c := range calibrationsLike(method, refusal) {
				got := question{method: method, address: a.String(), calibration: c}.read(reply)
				want := oracle(method, a.String(), c, reply)
				if got.says != want && got.says != policy.Unsure {
					t.Fatalf("%s %q: %s (%s), want %s; calibration %+v", method, reply, got.says, got.why, want, c)
				}
				closely := c
				closely.Plain = false // without the short cut
				if slow := (question{method: method, address: a.String(), calibration: closely}).read(reply); slow.says != got.says && !secondHand.MatchString(reply.Text) {
					t.Fatalf("%s %q: %s, and on a closer look %s; calibration %+v", method, reply, got.says, slow.says, c)
				}
				if got.says == policy.Unsure && got.why == "" && c.Tells {
					t.Fatalf("%s %q: unsure, and nobody knows why", method, reply)
				}
			}
		}
	})
}
