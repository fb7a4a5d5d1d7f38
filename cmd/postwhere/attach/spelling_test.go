package attach

import (
	"testing"

	"postwhere/cmd/postwhere/config"
)

func TestSpellingsOfListeners(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, queue, value string
		want                 bool
	}{
		{"inet:127.0.0.1:10045", "", "check_policy_service inet:127.0.0.1:10045", true},
		{"inet:127.0.0.1:10045", "", "check_policy_service {inet:localhost:10045, timeout=30s}", true},
		{"inet:127.0.0.1:10045", "", "inet:[127.0.0.1]:10045", true},
		{"inet:[::1]:10045", "", "inet:[::1]:10045", true},
		{"inet:[::1]:10045", "", "inet:localhost:10045", true},
		{"inet:0.0.0.0:10045", "", "inet:127.0.0.1:10045", true},
		{"inet:localhost:10045", "", "inet:127.0.0.1:10045", true},
		{"inet:127.0.0.1:10045", "", "inet:127.0.0.1:1004", false},
		{"inet:127.0.0.1:1004", "", "inet:127.0.0.1:10045", false},
		{"inet:27.0.0.1:10045", "", "inet:127.0.0.1:10045", false},
		{"inet:127.0.0.1:10045", "", "inet:not-localhost.example:10045", false},
		{"inet:192.0.2.1:10045", "", "inet:localhost:10045", false},
		{"unix:/var/spool/postfix/postwhere/policy", "", "unix:postwhere/policy", true},
		{"unix:/var/spool/postfix/postwhere/policy", "", "unix:/var/spool/postfix/postwhere/policy", true},
		{"unix:/srv/queue/postwhere/policy", "/srv/queue", "unix:postwhere/policy", true},
		{"unix:/srv/queue/postwhere/policy", "", "unix:postwhere/policy", false},
		{"unix:/run/postwhere/policy", "", "unix:postwhere/policy", false},
	} {
		var l config.Listener
		if err := l.UnmarshalText([]byte(c.listen)); err != nil {
			t.Fatal(err)
		}
		if got := (Spelling{c.queue}).Names(c.value, []config.Listener{l}, ""); got != c.want {
			t.Errorf("%s in %q: %v, want %v", c.listen, c.value, got, c.want)
		}
	}
}
