package packaging

import (
	"strings"
	"testing"

	"postwhere/packaging/machine"
	"postwhere/packaging/realhost"
)

// rpm installs or upgrades (-i, -U) the rpm of a version. Debian's rpm does not know
// what is installed, so nothing is asked of it.
func (s *site) rpm(t *testing.T, how, version string) string {
	t.Helper()
	s.Copy(t, built(t, version, "rpm"), "/run/new.rpm")
	return s.Run(t, "rpm", "--force-debian", "--nodeps", how, "/run/new.rpm")
}

// An rpm's life, in a root of its own: it is started by hand, as is the custom there,
// an upgrade refuses nobody, and a removal keeps what was changed, and the user.
func TestRpmsLife(t *testing.T) {
	realhost.Need(t, "rpm")
	s := newSite(t, machine.Systemd)
	said := s.rpm(t, "-i", oldVersion)
	if !strings.Contains(said, "systemctl enable --now postwhere ") {
		t.Errorf("what is to be done next is not told:\n%s", said)
	}
	s.states(t, "inactive", "disabled")
	s.stats(t, map[string]string{
		"/etc/postwhere": "root:postwhere 750", "/etc/postwhere/postwhere.toml": "root:postwhere 640",
		"/run/postwhere": "postwhere:postwhere 750", "/var/spool/postfix/postwhere": "postwhere:postfix 2750",
	})
	if said := s.Run(t, "rpm", "-V", "postwhere"); said != "" {
		t.Errorf("it is not as it came:\n%s", said)
	}

	s.configure(t, "")
	s.Run(t, "systemctl", "enable", "--now", "postwhere")
	s.states(t, "active", "enabled")
	s.answers(t)
	s.wantsVersion(t, oldVersion)

	s.undisturbed(t, func() { said = s.rpm(t, "-U", newVersion) })
	if strings.Contains(said, "does not run yet") {
		t.Errorf("an upgrade is told as an installation:\n%s", said)
	}
	s.states(t, "active", "enabled")
	s.answers(t)
	s.wantsVersion(t, newVersion)

	s.Write(t, "/etc/postfix/main.cf", "compatibility_level = 3.6\ntransport_maps = socketmap:inet:127.0.0.1:10047:transport\n")
	if said := s.Run(t, "rpm", "--force-debian", "-e", "postwhere"); !strings.Contains(said, stillAsks) {
		t.Errorf("that Postfix still asks is not told:\n%s", said)
	}
	s.wants(t, "anna@example.com", refused...)
	s.Run(t, "test", "-e", "/etc/postwhere/postwhere.toml.rpmsave")
	s.Run(t, "getent", "passwd", "postwhere")
	for _, gone := range []string{"/usr/sbin/postwhere", "/run/postwhere", "/var/spool/postfix/postwhere", "/etc/systemd/system/postwhere.service.wants"} {
		if s.Try("test", "-e", gone) == nil {
			t.Errorf("%s is there yet", gone)
		}
	}
}
