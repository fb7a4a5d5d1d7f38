package packaging

import (
	"slices"
	"strings"
	"testing"

	"postwhere/packaging/realhost"
)

// inBoth is what each package has, inDeb and inRPM what only one of them has.
var (
	inBoth = strings.Fields(`
		/etc/postwhere/postwhere.toml
		/usr/sbin/postwhere
		/usr/lib/sysusers.d/postwhere.conf
		/usr/lib/tmpfiles.d/postwhere.conf
		/usr/share/bash-completion/completions/postwhere
		/usr/share/fish/vendor_completions.d/postwhere.fish
		/usr/share/man/man5/postwhere.toml.5.gz
		/usr/share/man/man8/postwhere.8.gz
		/usr/share/doc/postwhere/NEWS.md.gz
		/usr/share/doc/postwhere/README.SELinux
		/usr/share/doc/postwhere/README.md
		/usr/share/doc/postwhere/libraries.gz
		/usr/share/doc/postwhere/examples/chroot.toml
		/usr/share/doc/postwhere/examples/mesh.toml
		/usr/share/doc/postwhere/examples/postwhere.toml
		/usr/share/doc/postwhere/examples/postwhere-policy.socket.conf
		/usr/share/doc/postwhere/examples/postwhere-milter.socket.conf
		/usr/share/doc/postwhere/examples/postwhere-socketmap.socket.conf
		/usr/share/doc/postwhere/examples/postfix-chroot.sh
		/usr/share/doc/postwhere/examples/postfix-map-only.sh
		/usr/share/doc/postwhere/examples/postfix-mesh.sh
		/usr/share/doc/postwhere/examples/postfix-milter.sh
		/usr/share/doc/postwhere/examples/postfix-policy.sh
		/usr/share/doc/postwhere/examples/postfix-recipient-map.sh
		/usr/share/doc/postwhere/examples/sendmail.mc`)
	inDeb = strings.Fields(`
		/etc/apparmor.d/usr.sbin.postwhere
		/etc/logcheck/ignore.d.server/postwhere
		/lib/systemd/system/postwhere.service
		/lib/systemd/system/postwhere-policy.socket
		/lib/systemd/system/postwhere-milter.socket
		/lib/systemd/system/postwhere-socketmap.socket
		/usr/share/doc/postwhere/changelog.gz
		/usr/share/doc/postwhere/copyright
		/usr/share/lintian/overrides/postwhere
		/usr/share/zsh/vendor-completions/_postwhere`)
	inRPM = strings.Fields(`
		/usr/lib/systemd/system/postwhere.service
		/usr/lib/systemd/system/postwhere-policy.socket
		/usr/lib/systemd/system/postwhere-milter.socket
		/usr/lib/systemd/system/postwhere-socketmap.socket
		/usr/share/licenses/postwhere/LICENSE
		/usr/share/zsh/site-functions/_postwhere`)
)

func TestPackagesHaveWhatTheyAreToHave(t *testing.T) {
	realhost.Need(t, "dpkg-deb", "rpm")
	var deb []string
	for line := range strings.Lines(output(t, "dpkg-deb", "--contents", built(t, newVersion, "deb"))) {
		if f := strings.Fields(line); f[0][0] == '-' {
			deb = append(deb, strings.TrimPrefix(f[len(f)-1], "."))
		}
	}
	wantFiles(t, "deb", deb, slices.Concat(inBoth, inDeb))
	var rpm []string
	for line := range strings.Lines(output(t, "rpm", "--query", "--queryformat", `[%{FILEMODES:perms} %{FILENAMES}\n]`, "--package", built(t, newVersion, "rpm"))) {
		if f := strings.Fields(line); f[0][0] == '-' {
			rpm = append(rpm, f[1])
		}
	}
	wantFiles(t, "rpm", rpm, slices.Concat(inBoth, inRPM))
	// Neither an upgrade nor a removal takes the settings.
	const conf = "/etc/postwhere/postwhere.toml\n"
	if got := output(t, "dpkg-deb", "--info", built(t, newVersion, "deb"), "conffiles"); !strings.Contains(got, conf) {
		t.Errorf("the deb's configuration files are %s", got)
	}
	if got := output(t, "rpm", "--query", "--configfiles", "--package", built(t, newVersion, "rpm")); got != conf {
		t.Errorf("the rpm's configuration files are %s", got)
	}
}

func wantFiles(t *testing.T, format string, got, want []string) {
	t.Helper()
	for _, f := range got {
		if !slices.Contains(want, f) {
			t.Errorf("the %s has %s", format, f)
		}
	}
	for _, f := range want {
		if !slices.Contains(got, f) {
			t.Errorf("the %s has no %s", format, f)
		}
	}
}
