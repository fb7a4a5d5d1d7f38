package packaging

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postwhere/packaging/machine"
	"postwhere/packaging/realhost"
)

// site is a machine on which postwhere is to be installed, and mail hosts for it to
// ask: those of `postwhere demo`, which run on the machine. anna is on mail1, bert on
// mail2, carla on mail3.
type site struct {
	*machine.Machine
	hosts string // what the configuration says of them
}

func newSite(t *testing.T, first machine.First) *site {
	t.Helper()
	realhost.Need(t, "dpkg-deb", "bash")
	s := &site{Machine: machine.New(t, first)}
	dir := t.TempDir()
	output(t, "dpkg-deb", "-x", built(t, newVersion, "deb"), dir)
	s.Copy(t, dir+"/usr/sbin/postwhere", "/run/demo")
	s.Write(t, "/run/ask", askScript)
	s.Write(t, "/run/ask-on", askOnScript)
	s.Start(t, "bash", "-c", "exec /run/demo demo --stay >/run/demo.log 2>&1")
	var said []byte
	if !realhost.Eventually(func() bool {
		said, _ = os.ReadFile(s.Path("/run/demo.log"))
		return strings.Contains(string(said), "mail3 takes mail at")
	}) {
		t.Fatalf("the mail hosts do not come up:\n%s", said)
	}
	for _, m := range regexp.MustCompile(`(mail\d) takes mail at (\S+)`).FindAllStringSubmatch(string(said), -1) {
		s.hosts += fmt.Sprintf("[host.%s]\nprobe = \"smtp:inet:%s\"\n", m[1], m[2])
	}
	return s
}

// askScript asks the policy service about each recipient it is given, each time
// hesitating for $HESITATION seconds when it is connected.
const askScript = `
trap '' PIPE # it would end without a word
for recipient; do
	{ exec 3<>/dev/tcp/127.0.0.1/10045; } 2>/dev/null || { echo refused; continue; }
	sleep ${HESITATION:-0}
	printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=%s\n\n' "$recipient" >&3
	IFS= read -r -t 30 action <&3 || action=nothing
	echo "$action"
	exec 3>&-
done
`

// askOnScript asks again and again, also while nobody answers; most of the time it
// is connected and has not asked yet, as a client may be when the daemon ends.
const askOnScript = `export HESITATION=0.1; while :; do bash /run/ask anna@example.com; done`

// configure has the domain configured, and listeners in place of the defaults.
func (s *site) configure(t *testing.T, listen string) {
	t.Helper()
	s.Write(t, "/etc/postwhere/postwhere.toml", listen+"[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\", \"mail3\"]\n"+s.hosts)
}

// wants asks, and wants these actions, a line each.
func (s *site) wants(t *testing.T, recipients string, want ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSpace(s.Shell(t, "bash /run/ask "+recipients+" 2>&1")), "\n")
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("about %s Postfix is told %q, want %q\n%s", recipients, got, want, s.Shell(t, "journalctl --no-pager -n 30 -u 'postwhere*' || true"))
	}
}

// answers tells whether the daemon gives every verdict.
func (s *site) answers(t *testing.T) {
	t.Helper()
	s.wants(t, "anna@example.com bert@example.com nobody@example.com anna@elsewhere.example",
		"action=DUNNO", "action=DUNNO", "action=550 5.1.1 User unknown", "action=DUNNO")
}

// undisturbed asks on and on while something is done, and until the daemon answers
// after it, and wants that nobody is told anything but where anna is.
func (s *site) undisturbed(t *testing.T, do func()) {
	t.Helper()
	s.Write(t, "/run/told", "")
	end := s.Start(t, "bash", "-c", "exec bash /run/ask-on >>/run/told 2>&1")
	told := func() int {
		text, _ := os.ReadFile(s.Path("/run/told"))
		return strings.Count(string(text), "\n")
	}
	more := func() {
		t.Helper()
		before := told()
		if !realhost.Eventually(func() bool { return told() > before+3 }) {
			t.Error("nobody is answered")
		}
	}
	more()
	do()
	more()
	end()
	text, err := os.ReadFile(s.Path("/run/told"))
	if err != nil {
		t.Fatal(err)
	}
	if other := strings.ReplaceAll(string(text), "action=DUNNO\n", ""); other != "" {
		t.Errorf("of those who asked meanwhile some are told:\n%s%s", other, s.Shell(t, "journalctl --no-pager -o short-precise -n 60 -u 'postwhere*' || true"))
	}
}

// show returns a property of the service.
func (s *site) show(t *testing.T, property string) string {
	t.Helper()
	return strings.TrimSpace(s.Run(t, "systemctl", "show", "-P", property, "postwhere.service"))
}

// states wants that each unit is, or is not, active and enabled.
func (s *site) states(t *testing.T, active, enabled string) {
	t.Helper()
	for _, unit := range []string{"postwhere.service", "postwhere-policy.socket", "postwhere-milter.socket", "postwhere-socketmap.socket"} {
		for what, want := range map[string]string{"is-active": active, "is-enabled": enabled} {
			if got := strings.TrimSpace(s.Shell(t, "systemctl "+what+" "+unit+" 2>/dev/null || true")); got != want {
				t.Errorf("%s %s: %q, want %q\n%s", what, unit, got, want, s.Shell(t, "systemctl status --no-pager "+unit+" || true"))
			}
		}
	}
}

// stats wants of each path the owner, the group and the mode.
func (s *site) stats(t *testing.T, want map[string]string) {
	t.Helper()
	for path, w := range want {
		if got := strings.TrimSpace(s.Shell(t, "stat -c '%U:%G %a' "+path+" 2>&1")); got != w {
			t.Errorf("%s: %s, want %s", path, got, w)
		}
	}
}

// traces returns what there is of postwhere, by name, and its user.
func (s *site) traces(t *testing.T) []string {
	t.Helper()
	return strings.Split(s.Shell(t, `find /etc /usr /lib /var /run /opt -xdev -iname '*postwhere*' `+
		`-not -path '/var/cache/*' -not -path '/var/tmp/*' -not -path '/var/log/*' 2>/dev/null
		getent passwd postwhere; getent group postwhere; systemctl list-unit-files --no-legend 'postwhere*' 2>/dev/null; true`), "\n")
}

// leavesNothing wants no more traces than there were before.
func (s *site) leavesNothing(t *testing.T, before []string) {
	t.Helper()
	for _, trace := range s.traces(t) {
		if !slices.Contains(before, trace) {
			t.Errorf("there is still %s", trace)
		}
	}
}
