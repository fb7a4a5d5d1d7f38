package policy

import (
	"regexp"
	"slices"
	"strings"
)

// maxHostText is how much of a host's own refusal a client is told, in octets.
const maxHostText = 200

// refusal is what a host said no with, on its way to a client.
type refusal struct {
	said   Reply
	about  []Address // that the host was asked about, in each spelling
	domain *Domain
}

var (
	fiveHundred = regexp.MustCompile(`^5\.\d{1,3}\.\d{1,3}$`)
	// postfixPrefix is what smtpd(8) puts before a text, and will before ours.
	postfixPrefix = regexp.MustCompile(`(?i)^\s*:?\s*Recipient address rejected:`)
	printableLine = regexp.MustCompile(`^[\x20-\x7e]*$`)
	// ipAddress finds more than addresses: nobody misses the text of a host that
	// speaks in colons.
	ipAddress = regexp.MustCompile(`\d{1,3}([.-]\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:`)
	// domainName is what looks like one: labels, of which the last begins with a
	// letter. So do some words that no blank parts.
	domainName = regexp.MustCompile(`(?i)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.[a-z][a-z0-9-]+`)
)

// told returns the reply for the client: the first line of the host's text, with
// the host's codes as far as it gave any of the configured reply's class. It is
// the configured reply as it is where the host's text says nothing, is not
// printable, or has what may be the name or the address of a host. It is pure.
func (r refusal) told(configured Reply) Reply {
	text := r.text()
	if r.said.Code/100 != 5 || configured.Code/100 != 5 || text == "" || r.givesAway(text) {
		return configured
	}
	if len(text) > maxHostText {
		text = strings.TrimRight(text[:maxHostText], " ")
	}
	reply := Reply{Code: r.said.Code, Enhanced: r.said.Enhanced, Text: text}
	if reply.Code == 521 { // smtpd(8) would hang up
		reply.Code = configured.Code
	}
	if !fiveHundred.MatchString(reply.Enhanced) {
		reply.Enhanced = configured.Enhanced
	}
	return reply
}

// text returns the first line without the address and Postfix's words before it,
// which the client hears from our own Postfix; "" if nothing is left.
func (r refusal) text() string {
	line, _, _ := strings.Cut(r.said.Text, "\n")
	line = strings.TrimRight(strings.ReplaceAll(line, "\t", " "), "\r ")
	if !printableLine.MatchString(line) {
		return ""
	}
	for _, a := range r.about {
		for _, spelling := range []string{a.String(), a.Local() + "@" + a.Domain()} {
			line = cutWord(line, "<"+spelling+">")
			line = cutWord(line, spelling) // Sendmail: ADDRESS... User unknown
		}
	}
	line = postfixPrefix.ReplaceAllString(line, "")
	return strings.TrimLeft(strings.Join(strings.Fields(line), " "), ".,:;- ")
}

// givesAway tells whether a text names a host, as far as one can tell: by a name
// that we know, by what could be another name of it, or by an IP address.
func (r refusal) givesAway(text string) bool {
	if ipAddress.MatchString(text) {
		return true
	}
	for _, h := range r.domain.Hosts() {
		for _, name := range append([]string{h.Name}, h.Names...) {
			full, _, _ := strings.Cut(name, ":") // NAME:PORT; an IPv6 address was found above
			short, _, _ := strings.Cut(full, ".")
			if hasWord(text, full) || hasWord(text, short) {
				return true
			}
		}
	}
	if asked := r.domain.AskAs; !slices.Contains(r.domain.Names, strings.ToLower(asked)) && hasWord(text, asked) {
		return true
	}
	for _, name := range domainName.FindAllString(text, -1) {
		if !slices.Contains(r.domain.Names, strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// hasWord tells whether a text has a word, in whichever case, and not as a part of
// a longer one.
func hasWord(text, word string) bool { return indexWord(text, word) >= 0 }

// cutWord takes the word out wherever the text has it.
func cutWord(text, word string) string {
	for {
		i := indexWord(text, word)
		if i < 0 {
			return text
		}
		text = text[:i] + text[i+len(word):]
	}
}

// indexWord returns where an ASCII text has a word, -1 if it does not.
func indexWord(text, word string) int {
	for from := 0; word != "" && from+len(word) <= len(text); from++ {
		if end := from + len(word); strings.EqualFold(text[from:end], word) &&
			(from == 0 || !isAlnum(text[from-1]) || !isAlnum(word[0])) &&
			(end == len(text) || !isAlnum(text[end]) || !isAlnum(word[len(word)-1])) {
			return from
		}
	}
	return -1
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
