package probe

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postwhere/policy"
)

// isOfAnother tells whether a refusal names an address that is not the one asked
// about: the reply to an earlier question, which may have been about another domain,
// or what an alias leads to. A host that names the same other whatever it is asked
// about (its postmaster), or ours in its own spelling, is known by how it refused the
// nonsense address.
func (q question) isOfAnother(r policy.Reply) bool {
	c := q.calibration
	named := others(r, q.address)
	return len(named) > 0 && !(c.Tells && slices.Equal(named, others(c.Refusal, c.Nonsense)))
}

func namesAnother(r policy.Reply, address string) bool { return len(others(r, address)) > 0 }

// ours stands for the address asked about in the words of a reply.
const ours = "\x00"

// others returns the words of a reply that name an address but not the one given;
// what that one is a part of, or is spelt otherwise in, is made the same for all.
func others(r policy.Reply, address string) (named []string) {
	at := strings.LastIndexByte(address, '@')
	local := strings.ToLower(address[:max(at, 0)])
	text := strings.Join(words(r.Text, address, ours), " ")
	base := withoutExtension(address)
	if base != "" && strings.Contains(text, ours) {
		// Dovecot names both: <nobody+x@d> User doesn't exist: nobody@d
		text = strings.ReplaceAll(text, base, ours)
	}
	for word := range strings.FieldsSeq(text) {
		before, behind, found := strings.Cut(word, ours)
		switch {
		case found && partOfAnother(before, behind):
			named = append(named, word)
		case !strings.Contains(word, "@"):
		case local != "" && strings.Contains(word, local):
			named = append(named, ours)
		default:
			named = append(named, word)
		}
	}
	return named
}

// partOfAnother tells whether an address between these texts is only a part of one:
// anna@d.test of joanna@d.test, of o'anna@d.test or of anna@d.test.au.
func partOfAnother(before, behind string) bool {
	quote := strings.TrimRight(before, "'`")
	if last, _ := utf8.DecodeLastRuneInString(before); strings.ContainsRune("!#$%&*+-/=?^_{|}~.", last) {
		return before != ""
	}
	if last, _ := utf8.DecodeLastRuneInString(quote); quote != "" && (unicode.IsLetter(last) || unicode.IsDigit(last)) {
		return true
	}
	next, size := utf8.DecodeRuneInString(behind)
	if next == '.' {
		next, _ = utf8.DecodeRuneInString(behind[size:])
	}
	return behind != "" && (unicode.IsLetter(next) || unicode.IsDigit(next) || next == '-' || next == '_')
}

// withoutExtension returns in lower case the address that one with a plus is an
// extension of, without quotes; "" if it is none.
func withoutExtension(address string) string {
	a, err := policy.ParseAddress(address)
	if err != nil {
		return ""
	}
	local, _, ok := strings.Cut(a.Local(), "+")
	if !ok || local == "" {
		return ""
	}
	return strings.ToLower(local + "@" + a.Domain())
}

// isLocalOf tells whether a word is the address's local part, as some hosts have
// it in their refusals.
func isLocalOf(word, address string) bool {
	at := strings.LastIndexByte(address, '@')
	return at > 0 && strings.Trim(word, `<>()[]"':;,.`) == strings.ToLower(address[:at])
}
