package realhost

import (
	"fmt"
	"testing"
)

// exchange is a command and the reply that it has to get, whole.
type exchange struct{ command, reply string }

// talk has the dialogue in a session that begins with EHLO.
func talk(t *testing.T, addr string, dialogue []exchange) session {
	t.Helper()
	s := dial(t, addr)
	s.ask(t, 250, "EHLO client.test")
	s.talk(t, dialogue)
	return s
}

// talk goes on with the dialogue.
func (s session) talk(t *testing.T, dialogue []exchange) {
	t.Helper()
	for _, e := range dialogue {
		if got := s.reply(t, e.command); got != e.reply {
			t.Errorf("%s: %s, want %s", e.command, got, e.reply)
		}
	}
}

// reply sends a command and returns the reply, without the codes of its lines
// but the first.
func (s session) reply(t *testing.T, command string) string {
	t.Helper()
	if err := s.PrintfLine("%s", command); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	code, text, err := s.ReadResponse(0)
	if err != nil && code == 0 {
		t.Fatalf("%s: %v", command, err)
	}
	return fmt.Sprintf("%d %s", code, text)
}

// hungUp fails the test unless the server has closed the connection.
func (s session) hungUp(t *testing.T) {
	t.Helper()
	if line, err := s.ReadLine(); err == nil {
		t.Errorf("the session goes on with %q", line)
	}
}
