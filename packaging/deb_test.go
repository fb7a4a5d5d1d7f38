package packaging

import (
	"os"
	"strings"
	"testing"
	"time"

	"postwhere/packaging/machine"
	"postwhere/packaging/realhost"
)

// dpkg installs a deb, without its recommendations.
func (s *site) dpkg(t *testing.T, version string) string {
	t.Helper()
	s.Copy(t, built(t, version, "deb"), "/run/new.deb")
	return s.Run(t, "dpkg", "-i", "/run/new.deb")
}

// A deb's life on a machine where systemd runs: nothing starts before it is
// configured, an upgrade refuses nobody, a removal keeps what a purge takes.
func TestDebsLife(t *testing.T) {
	s := newSite(t, machine.Systemd)
	before := s.traces(t)
	const mainCF = "compatibility_level = 3.6\nsmtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10045\n"
	s.Write(t, "/etc/postfix/main.cf", mainCF)

	// As README says.
	s.Copy(t, built(t, oldVersion, "deb"), "/run/new.deb")
	said := s.Run(t, "apt-get", "-y", "--no-install-recommends", "install", "/run/new.deb")
	if !strings.Contains(said, "systemctl enable --now postwhere ") {
		t.Errorf("what is to be done next is not told:\n%s", said)
	}
	s.states(t, "inactive", "disabled")
	s.stats(t, map[string]string{
		"/etc/postwhere": "root:postwhere 750", "/etc/postwhere/postwhere.toml": "root:postwhere 640",
		"/var/lib/postwhere": "postwhere:postwhere 700", "/run/postwhere": "postwhere:postwhere 750",
		"/var/spool/postfix/postwhere": "postwhere:postfix 2750",
	})
	s.wants(t, "anna@example.com", refused...)

	s.configure(t, "")
	s.Run(t, "systemctl", "enable", "--now", "postwhere")
	s.states(t, "active", "enabled")
	s.answers(t)
	s.wantsVersion(t, oldVersion)
	s.stats(t, map[string]string{"/run/postwhere/control": "postwhere:postwhere 660"})
	if got := s.Run(t, "postwhere", "query", "carla@example.com"); got != "carla@example.com\tdeliver\tmail3\tsmtp:[mail3]:25\n" {
		t.Errorf("the command line says %q", got)
	}

	var upgraded string
	s.undisturbed(t, func() { upgraded = s.dpkg(t, newVersion) })
	if strings.Contains(upgraded, "does not run yet") {
		t.Errorf("an upgrade is told as an installation:\n%s", upgraded)
	}
	s.states(t, "active", "enabled")
	s.answers(t)
	s.wantsVersion(t, newVersion)
	s.stats(t, map[string]string{"/etc/postwhere/postwhere.toml": "root:postwhere 640"})

	if said := s.Run(t, "dpkg", "--remove", "postwhere"); !strings.Contains(said, stillAsks) {
		t.Errorf("that Postfix still asks is not told:\n%s", said)
	}
	s.wants(t, "anna@example.com", refused...)
	for _, kept := range []string{"/etc/postwhere/postwhere.toml", "/var/lib/postwhere/cache.db"} {
		s.Run(t, "test", "-e", kept)
	}
	s.Run(t, "getent", "passwd", "postwhere")

	s.dpkg(t, newVersion) // it was enabled, and is again
	s.states(t, "active", "enabled")
	s.answers(t)

	s.Run(t, "dpkg", "--purge", "postwhere")
	s.wants(t, "anna@example.com", refused...)
	s.leavesNothing(t, before)
	if got := s.Run(t, "cat", "/etc/postfix/main.cf"); got != mainCF {
		t.Errorf("Postfix's configuration has changed:\n%s", got)
	}
}

// stillAsks is how a removal says that Postfix goes on to ask, and what undoes that.
const stillAsks = `postwhere: Postfix still asks postwhere, and without it tells clients to try again later.
  "postwhere postfix --undo" detaches it: `

// refused is what who asks is told where nobody listens.
var refused = []string{"refused"}

func (s *site) wantsVersion(t *testing.T, version string) {
	t.Helper()
	if got := s.Run(t, "postwhere", "version"); !strings.HasPrefix(got, "postwhere "+version+" ") {
		t.Errorf("it is %q, want %s", got, version)
	}
	pid := s.show(t, "MainPID")
	if got := s.Run(t, "/proc/"+pid+"/exe", "version"); !strings.HasPrefix(got, "postwhere "+version+" ") {
		t.Errorf("%q runs, want %s", got, version)
	}
}

// As in a container that is being made: no systemd, and a policy against services.
func TestDebWithoutSystemd(t *testing.T) {
	s := newSite(t, machine.Nothing)
	before := s.traces(t)
	if said := s.dpkg(t, oldVersion); !strings.Contains(said, "systemctl enable --now postwhere ") {
		t.Errorf("what is to be done next is not told:\n%s", said)
	}
	s.stats(t, map[string]string{
		"/etc/postwhere/postwhere.toml": "root:postwhere 640", "/var/lib/postwhere": "postwhere:postwhere 700",
		"/run/postwhere": "postwhere:postwhere 750", "/var/spool/postfix/postwhere": "postwhere:postfix 2750",
	})
	s.configure(t, "")
	s.dpkg(t, newVersion)
	end := s.Start(t, "setpriv", "--reuid=postwhere", "--regid=postwhere", "--clear-groups", "--no-new-privs", "postwhere", "serve")
	if !realhost.Eventually(func() bool { return s.Try("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/10045") == nil }) {
		t.Fatalf("the daemon does not run:\n%s", end())
	}
	s.wants(t, "anna@example.com nobody@example.com", "action=DUNNO", "action=550 5.1.1 User unknown")
	end()
	s.Run(t, "dpkg", "--remove", "postwhere")
	s.Run(t, "test", "-e", "/etc/postwhere/postwhere.toml")
	s.Run(t, "dpkg", "--purge", "postwhere")
	s.leavesNothing(t, before)
}

// A configuration that is there before the package, as an automaton writes it, is
// kept, and what it says is done.
func TestDebWithAConfigurationThatIsThereStarts(t *testing.T) {
	s := newSite(t, machine.Systemd)
	s.configure(t, "")
	had, err := os.ReadFile(s.Path("/etc/postwhere/postwhere.toml"))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s.Copy(t, built(t, newVersion, "deb"), "/run/new.deb")
	said := s.Run(t, "dpkg", "--force-confold", "-i", "/run/new.deb")
	if strings.Contains(said, "does not run yet") {
		t.Errorf("after %v:\n%s", time.Since(start), said)
	}
	s.states(t, "active", "enabled")
	s.answers(t)
	if has, err := os.ReadFile(s.Path("/etc/postwhere/postwhere.toml")); err != nil || string(has) != string(had) {
		t.Errorf("the configuration is now, %v:\n%s", err, has)
	}
}
