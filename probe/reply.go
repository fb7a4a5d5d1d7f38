package probe

import (
	"bufio"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"postwhere/policy"
)

// Limits of a reply. RFC 5321 section 4.5.3.1.5 grants a line 512 octets; long
// explanations over many lines are seen, but no host needs as much as this.
const (
	maxReplyLine  = 2048
	maxReplyLines = 64
)

// errReply: what the host said is no SMTP reply, or none that can be relied on.
var errReply = errors.New("malformed reply")

// enhancedCode is RFC 3463 section 2 at the beginning of a reply's text.
var enhancedCode = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}(?:[ \t]|$)`)

// qmailCode is the enhanced code as qmail and its heirs put it: at the end.
var qmailCode = regexp.MustCompile(`\(#([245]\.[0-9]{1,3}\.[0-9]{1,3})\)\s*$`)

// readReply reads one whole reply, all of its lines (RFC 5321 section 4.2.1).
// Lines that disagree about the code, that are too long or too many, and
// anything else that is no reply are an error that wraps errReply: the stream is
// out of step then.
func readReply(in *bufio.Reader) (policy.Reply, error) {
	var reply policy.Reply
	var text []string
	for range maxReplyLines {
		line, err := readLine(in)
		if err != nil {
			return policy.Reply{}, err
		}
		code, last, rest, err := splitLine(line)
		if err != nil {
			return policy.Reply{}, err
		}
		enhanced := strings.TrimSpace(enhancedCode.FindString(rest))
		if enhanced != "" {
			rest = strings.TrimLeft(rest[len(enhanced):], " \t")
		}
		switch {
		case len(text) == 0:
			reply.Code, reply.Enhanced = code, enhanced
		case code != reply.Code, enhanced != "" && enhanced != reply.Enhanced:
			return policy.Reply{}, fmt.Errorf("%w: its lines disagree: %d %s, then %q",
				errReply, reply.Code, reply.Enhanced, printable(line))
		}
		text = append(text, printable(rest))
		if last {
			reply.Text = strings.Join(text, "\n")
			if reply.Enhanced == "" {
				if m := qmailCode.FindStringSubmatch(reply.Text); m != nil {
					reply.Enhanced = m[1]
				}
			}
			return reply, nil
		}
	}
	return policy.Reply{}, fmt.Errorf("%w: more than %d lines", errReply, maxReplyLines)
}

// readLine reads a line without its end. A lone LF ends a line too: hosts that
// write so are seen, and there is nothing else that it could mean.
func readLine(in *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxReplyLine:
			return "", fmt.Errorf("%w: a line of more than %d octets", errReply, maxReplyLine)
		case err == nil:
			return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}

// splitLine takes a reply line apart: NNN, then - or blank and text, or the end.
func splitLine(line string) (code int, last bool, text string, err error) {
	if len(line) < 3 || strings.IndexByte(line, 0) >= 0 {
		return 0, false, "", fmt.Errorf("%w: %q", errReply, printable(line))
	}
	for i, least, most := 0, byte('2'), byte('5'); i < 3; i, least, most = i+1, '0', '9' {
		if line[i] < least || line[i] > most {
			return 0, false, "", fmt.Errorf("%w: %q", errReply, printable(line))
		}
		code = code*10 + int(line[i]-'0')
	}
	switch {
	case len(line) == 3:
		return code, true, "", nil
	case line[3] == ' ':
		return code, true, line[4:], nil
	case line[3] == '-':
		return code, false, line[4:], nil
	}
	return 0, false, "", fmt.Errorf("%w: %q", errReply, printable(line))
}

// printable makes foreign text fit for a log: valid UTF-8 without controls.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
