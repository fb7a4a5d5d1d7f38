package milter

import (
	"testing"

	gomilter "github.com/d--j/go-milter"

	"postwhere/policy/server/servertest"
)

const ourProtocol = 0xf73f0 // no body, headers, end of headers, unknown, data; no reply but to RCPT

func TestNegotiation(t *testing.T) {
	header := func() string { return "X-Postwhere" }
	for name, row := range map[string]struct {
		header  func() string
		offered [3]uint32
		want    [3]uint32
		macros  string
	}{
		"Postfix":                      {nil, [3]uint32{6, allActions, allProtocol}, [3]uint32{6, 0x100, ourProtocol}, "\x00\x00\x00\x02{auth_authen}\x00\x00\x00\x00\x03i {rcpt_mailer} {rcpt_addr}\x00"},
		"Postfix, with a trace header": {header, [3]uint32{6, allActions, allProtocol}, [3]uint32{6, 0x101, ourProtocol}, "\x00\x00\x00\x02{auth_authen}\x00\x00\x00\x00\x03i {rcpt_mailer} {rcpt_addr}\x00"},
		"Postfix, version 2":           {nil, [3]uint32{2, allActions, oldProtocol}, [3]uint32{2, 0x100, 0x70}, "\x00\x00\x00\x02{auth_authen}\x00\x00\x00\x00\x03i {rcpt_mailer} {rcpt_addr}\x00"},
		"Sendmail 8.13":                {header, [3]uint32{2, 0x3f, 0x7f}, [3]uint32{2, 0x01, 0x70}, ""},
		"one that changes nothing":     {header, [3]uint32{4, 0, 0x3ff}, [3]uint32{4, 0, 0x3f0}, ""},
		"one that offers nothing":      {nil, [3]uint32{2, 0, 0}, [3]uint32{2, 0, 0}, ""},
		"one from the future":          {nil, [3]uint32{9, 0xffffffff, 0xffffffff}, [3]uint32{6, 0x100, ourProtocol}, "\x00\x00\x00\x02{auth_authen}\x00\x00\x00\x00\x03i {rcpt_mailer} {rcpt_addr}\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			m := dialMTA(t, startServer(t, "tcp", &servertest.Searcher{}, Options{TraceHeader: row.header}))
			if numbers, macros := m.negotiate(row.offered[0], row.offered[1], row.offered[2]); numbers != row.want || macros != row.macros {
				t.Errorf("reply %#x %q, want %#x %q", numbers, macros, row.want, row.macros)
			}
		})
	}
}

// What the constant says, in the library's words.
func TestNoEventIsWantedThatIsNotNeeded(t *testing.T) {
	for _, never := range []gomilter.OptProtocol{
		gomilter.OptNoRcptTo, gomilter.OptNoRcptReply, gomilter.OptRcptRej, gomilter.OptSkip,
		gomilter.OptNoConnect, gomilter.OptNoHelo, gomilter.OptNoMailFrom,
	} {
		if unneeded&never != 0 {
			t.Errorf("%v is negotiated", never)
		}
	}
}

// An MTA that can switch nothing off sends everything, and waits for each reply.
func TestAllEventsAreBorne(t *testing.T) {
	var s servertest.Searcher
	m := dialMTA(t, startServer(t, "tcp", &s, Options{}))
	m.negotiate(2, 0, 0)
	for range 2 {
		for _, f := range []string{
			macros('C', "j", "mx.example") + frame('C', outside),
			frame('H', "client.example\x00"),
			macros('M', "i", "4Zx") + frame('M', "<s@src.example>\x00SIZE=1\x00"),
			rcptOf("<anna@example.com>"),
			frame('T', ""),
			frame('L', "Subject\x00Hello\x00"),
			frame('L', "Empty\x00\x00"),
			frame('N', ""),
			frame('B', "Hello.\r\n"),
			frame('U', "XYZZY\x00"),
		} {
			m.send(f)
			m.wants(goOn)
		}
		m.send(frame('E', "last words"))
		m.wants("a")
		m.send(frame('A', ""), frame('A', ""), frame('K', ""))
	}
	m.send(frame('Q', ""))
	m.wants("") // closed
	if n := len(s.Asked()); n != 2 {
		t.Errorf("%d searches", n)
	}
}
