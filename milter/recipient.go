package milter

import (
	"errors"
	"strings"

	"golang.org/x/text/cases"

	"postwhere/policy"
)

// recipientOf returns a recipient as policy.Request takes it, with or without its
// quoting, from the word that the client typed and the address that the MTA made of
// it ({rcpt_addr}).
//
// Postfix hands the word over as it came, though it reads it as an address of a
// header (RFC 822), with quotes, comments and blanks anywhere: <a."b"(c)@d> is the
// mailbox a.b. {rcpt_addr} is that mailbox, but folded to lower case, and hosts are
// asked in the client's spelling. So the word is read as Postfix reads it, and what
// comes out counts if it is {rcpt_addr} but for case. If it is not, the word stays as
// it is, and policy does not reject what it cannot read for sure.
func recipientOf(word, resolved string) (recipient string, unquoted bool) {
	if !strings.ContainsAny(word, special) {
		return word, false
	}
	a, err := policy.ParseAddress(resolved)
	if errors.Is(err, policy.ErrNoAddress) {
		return word, false
	}
	mailbox := mailboxOf(word)
	at := strings.LastIndexByte(mailbox, '@')
	if at < 0 || folded(mailbox[:at]) != folded(a.Local()) {
		return word, false
	}
	if domain, err := policy.NormalDomain(mailbox[at+1:]); err != nil || domain != a.Domain() {
		return word, false
	}
	return mailbox, true
}

// folded returns a local part as Postfix folds it for {rcpt_addr}: by ICU's full case
// folding, which makes ss of ß (casefold in src/util/casefold.c).
func folded(local string) string { return cases.Fold().String(local) }

// special are the characters that may mean something else to Postfix than to us.
const special = "\"\\()<>,;:[] \t"

// mailboxOf returns the mailbox that a word means to Postfix, without quoting: the
// source route, the names of persons and groups, comments, and what parts words are
// taken off (extract_addr in src/smtpd/smtpd.c, src/global/tok822_parse.c).
func mailboxOf(word string) string {
	var b strings.Builder
	blank := false // since the last word
	put := func(text string) {
		if s := b.String(); blank && s != "" && !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "@") {
			b.WriteByte(' ')
		}
		blank = false
		b.WriteString(text)
	}
	for i := 0; i < len(word); i++ {
		switch c := word[i]; c {
		case ' ', '\t':
			blank = true
		case '(':
			i = endOfComment(word, i)
		case '<', ':': // what was before is no part of it
			b.Reset()
		case '>', ';':
			return b.String()
		case '"':
			var text string
			text, i = quotedString(word, i)
			put(text)
		case '.', '@':
			blank = false
			put(word[i : i+1])
		case '\\':
			i++
			put(word[i:min(i+1, len(word))])
		default:
			put(word[i : i+1])
		}
	}
	return b.String()
}

// endOfComment returns where the comment ends that begins at i. There may be
// comments in it.
func endOfComment(word string, i int) int {
	depth := 0
	for ; i < len(word); i++ {
		switch word[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return i
}

// quotedString returns the text of the quoted string that begins at i, and where it
// ends.
func quotedString(word string, i int) (text string, end int) {
	var b strings.Builder
	for i++; i < len(word) && word[i] != '"'; i++ {
		if word[i] == '\\' && i+1 < len(word) {
			i++
		}
		b.WriteByte(word[i])
	}
	return b.String(), i
}
