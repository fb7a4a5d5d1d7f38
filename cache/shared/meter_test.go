package shared

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pieces is a connection on which a text arrives in pieces.
type pieces struct {
	net.Conn
	texts []string
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.texts) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.texts[0])
	if p.texts[0] = p.texts[0][n:]; p.texts[0] == "" {
		p.texts = p.texts[1:]
	}
	return n, nil
}

// inPieces draws how a text arrives.
func inPieces(t *rapid.T, text string) *pieces {
	p := &pieces{}
	for text != "" {
		n := min(len(text), rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, 5000)).Draw(t, "piece"))
		p.texts, text = append(p.texts, text[:n]), text[n:]
	}
	return p
}

// reply draws an answer of the protocol, with others in it as deep as it may be.
func reply(t *rapid.T, depth int) string {
	octets := rapid.StringMatching(`(?s)[\r\na-z*$%0-9]{0,40}`)
	line := rapid.StringMatching(`[a-z0-9 *$-]{0,40}`)
	kind := rapid.SampledFrom([]byte("+-:_,#($!=*~>%|")).Draw(t, "kind")
	if depth == 0 && strings.IndexByte("*~>%|", kind) >= 0 {
		kind = '$'
	}
	const null = "-1"
	switch kind {
	case '$', '!', '=':
		s := octets.Draw(t, "octets")
		return rapid.SampledFrom([]string{
			fmt.Sprintf("%c%d\r\n%s\r\n", kind, len(s), s),
			fmt.Sprintf("%c%s\r\n", kind, null),
		}).Draw(t, "string")
	case '*', '~', '>', '%', '|':
		n := rapid.IntRange(-1, 3).Draw(t, "elements")
		s := fmt.Sprintf("%c%d\r\n", kind, n)
		if kind == '%' || kind == '|' {
			n *= 2
		}
		for range n {
			s += reply(t, depth-1)
		}
		if kind == '|' {
			s += reply(t, depth)
		}
		return s
	}
	return string(kind) + line.Draw(t, "line") + "\r\n"
}

func TestAnswersPassAsTheyAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := ""
		for range rapid.IntRange(1, 5).Draw(t, "answers") {
			depth := rapid.IntRange(0, 4).Draw(t, "depth")
			around := rapid.IntRange(0, maxNesting-4).Draw(t, "around")
			text += strings.Repeat("*1\r\n", around) + reply(t, depth)
		}
		got, err := io.ReadAll(guard(inPieces(t, text)))
		if err != nil || string(got) != text {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	})
}

// What answers have at most passes, one after another.
func TestLargestAnswersPass(t *testing.T) {
	t.Parallel()
	const size = maxReply - maxLine
	text := fmt.Sprintf("$%d\r\n%s\r\n", size, strings.Repeat("x", size)) +
		"+" + strings.Repeat("x", maxLine-2) + "\r\n" +
		fmt.Sprintf("*%d\r\n%s", maxReply/20-1, strings.Repeat(":1\r\n", maxReply/20-1)) +
		strings.Repeat("*1\r\n", maxNesting) + ":1\r\n"
	for range 2 {
		text += text
	}
	if got, err := io.ReadAll(guard(&pieces{texts: []string{text}})); err != nil || string(got) != text {
		t.Errorf("%d of %d octets, %v", len(got), len(text), err)
	}
}

// notAnswers are such as are refused, with how many octets of them may be handed on.
var notAnswers = []struct {
	text string
	pass int
}{
	{"*9223372036854775807\r\n", 8}, // 7 digits are more than a million
	{"$9223372036854775807\r\n", 8},
	{"*99999999999999999999999999\r\n", 8},
	{"*40000000\r\n", 8}, {"%40000000\r\n", 8}, {"~40000000\r\n", 8}, {">40000000\r\n", 8}, {"|40000000\r\n", 8},
	{"$2000000000\r\n", 8}, {"!2000000000\r\n", 8}, {"=2000000000\r\n", 8},
	{"*65536\r\n", 7}, {"%32768\r\n", 7}, {"~65536\r\n", 7}, {">65536\r\n", 7}, {"|32768\r\n", 7}, {"$1048576\r\n", 9},
	{"*2\r\n*40000\r\n*40000\r\n", 19},
	{"*40000\r\n*40000\r\n", 15},
	{"*40000\r\n|20000\r\n", 15},
	{"|20000\r\n" + strings.Repeat(":1\r\n", 40000) + "*40000\r\n", 9 + 160000 + 7},
	{strings.Repeat("|0\r\n", maxReply/16), maxReply / 4}, {strings.Repeat("|-1\r\n", maxReply/16), maxReply / 4},
	{strings.Repeat("*1\r\n", maxNesting+1), 4*maxNesting + 3},
	{"*16\r\n" + strings.Repeat("+"+strings.Repeat("x", maxLine-3)+"\r\n", 16), maxReply + 4},
	{"+" + strings.Repeat("x", maxLine+1), maxLine + 1}, {"*" + strings.Repeat("0", maxLine+1), maxLine + 1},
	{"*-2\r\n", 4}, {"$-2\r\n", 4}, {"*-\r\n", 3}, {"*--1\r\n", 2}, {"$-01\r\n", 5}, {"*\r\n", 2}, {"$\r\n", 2},
	{"*?\r\n", 1}, {"$?\r\n", 1}, {"%?\r\n", 1}, {"*1x\r\n", 2}, {"*+1\r\n", 1}, {"* 1\r\n", 1}, {"*1\r1\n", 3},
	{"HTTP/1.1 400 Bad Request\r\n", 0}, {"220 mail\r\n", 0}, {"\r\n", 0}, {"\x00", 0}, {".\r\n", 0}, {";4\r\n", 0},
	{"+OK\n", 3}, {"+O\rK\r\n", 3}, {"$1\r\nxyz", 5}, {"$1\r\nx\rz", 6},
}

// Whatever comes before it, and in whatever pieces it does, of what is no answer nothing is
// handed on that declares too much, and nothing comes behind it.
func TestWhatIsNoAnswerEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, not := range notAnswers {
		got, err := io.ReadAll(guard(&pieces{texts: []string{not.text}}))
		if !errors.As(err, new(rubbishError)) || len(got) > not.pass || !strings.HasPrefix(not.text, string(got)) {
			t.Errorf("%.40q: %d octets, %v", not.text, len(got), err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		not := rapid.SampledFrom(notAnswers).Draw(t, "no answer")
		before := ""
		for range rapid.IntRange(0, 3).Draw(t, "answers") {
			before += reply(t, 3)
		}
		before += rapid.SampledFrom([]string{"", "*1\r\n", "*3\r\n:1\r\n", "%1\r\n+key\r\n", "|1\r\n"}).Draw(t, "in it")
		conn := guard(inPieces(t, before+not.text+reply(t, 1)))
		got, err := io.ReadAll(conn)
		if !errors.As(err, new(rubbishError)) || len(got) > len(before)+not.pass {
			t.Errorf("%q, %.40q: %d octets, %v", before, not.text, len(got), err)
		}
		if n, again := conn.Read(make([]byte, 1)); n != 0 || !errors.As(again, new(rubbishError)) {
			t.Errorf("%q, %.40q: then %d octets, %v", before, not.text, n, again)
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	text := "*2\r\n$10\r\n1764000000\r\n$6\r\n123456\r\n" + strings.Repeat("$150\r\n"+strings.Repeat("x", 150)+"\r\n", maxAsked)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	p := &pieces{texts: make([]string, 1)}
	conn, buf := guard(p), make([]byte, 32<<10)
	for b.Loop() {
		p.texts = append(p.texts[:0], text)
		if n, err := conn.Read(buf); n != len(text) || err != nil {
			b.Fatal(n, err)
		}
	}
}
