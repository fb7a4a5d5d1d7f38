package server

import (
	"strconv"
	"strings"

	"postwhere/policy"
)

// maxText is how much of a reply's text is told. smtpd puts the recipient before
// it and cuts its reply after 510 octets (src/smtpd/smtpd_check.c).
const maxText = 400

// Reply returns what a client is told with a verdict of Reject or Defer: the
// finding's reply, made fit to be told. Code, enhanced code and text are always
// there, the two codes are of one class, the text is one line. A recipient who
// is not rejected is never told 5xx, whatever the finding's reply is. A verdict
// other than Reject is taken for Defer.
//
// What cannot be told is replaced: without an enhanced code smtpd adds one that
// says "policy" (5.7.1), and 421 and 521 end the client's session with all its
// recipients.
func Reply(f policy.Finding) policy.Reply {
	r, class := f.Reply, f.Reply.Code/100
	def := policy.Reply{Code: 450, Enhanced: "4.4.1", Text: "Mailbox cannot be located now, try again later"}
	if f.Verdict == policy.Reject {
		def = policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}
		if class == 4 { // the configuration is careful
			def.Code, def.Enhanced = 450, "4.1.1"
		}
	}
	if class != def.Code/100 || r.Code%100 == 21 {
		r.Code = def.Code
	}
	if !isEnhanced(r.Enhanced) || r.Enhanced[0] != def.Enhanced[0] {
		r.Enhanced = def.Enhanced
	}
	if r.Text = OneLine(r.Text, maxText); r.Text == "" {
		r.Text = def.Text
	}
	return r
}

// isEnhanced tells whether s is an enhanced status code (RFC 3463 section 2).
func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n > 999 || strconv.FormatUint(n, 10) != p || i == 0 && n != 2 && n != 4 && n != 5 {
			return false
		}
	}
	return len(parts) == 3
}
