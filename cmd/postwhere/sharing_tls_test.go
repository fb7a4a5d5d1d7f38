package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// Front ends share over TLS, with the authority and the password from files. One that has
// another authority, or finds another's certificate, says what is wrong, and goes on alone.
func TestMemoryIsSharedOverTLS(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		host := testbed.StartHost(t, testbed.Having("anna@example.com"))
		site := fmt.Sprintf("[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = %q\nroute = \"smtp:[127.0.0.1]\"\n", host.Address)
		start := func(addr, authority, password string) *program {
			t.Helper()
			dir := testbed.ShortDir(t)
			for name, text := range map[string]string{"ca.pem": authority, "password": password + "\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return startProgram(t, dir, site+fmt.Sprintf("[cache]\nfile = \"\"\nshared = \"rediss://%s\"\nshared_ca_file = \"ca.pem\"\nshared_password_file = \"password\"\n", addr))
		}
		r, other := kind.Start(t, "requirepass hush"), kind.Start(t, "requirepass hush")
		addr, authority := r.ListenTLS(t, "", "hush")
		anothers, anothersAuthority := other.ListenTLS(t, "redis.example.com", "hush")

		one, two := start(addr, authority, "hush"), start(addr, authority, "hush")
		one.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		if !realhost.Eventually(func() bool { return two.look(t, "anna@example.com").Source == policy.SourceMemory }) {
			t.Error("nothing is shared")
		}
		if !realhost.Eventually(func() bool { // on a busy machine it may not answer in time
			out, _ := exec.Command("postwhere", "-c", one.file, "check").CombinedOutput()
			return regexp.MustCompile(`(?m)^ok    shared memory: rediss://127\.\S+/0 answers in \S+s$`).Match(out)
		}) {
			t.Error("check does not find it well")
		}
		one.run(t, `(?m)^shared:    through rediss://127\.\S+/0, 0 change\(s\) wait$`, "cache", "stats")

		plain, _, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ name, addr, authority, password, want string }{
			{"wrong authority", addr, anothersAuthority, "hush", `certificate signed by unknown authority .*: shared_ca_file is to have the authority`},
			{"wrong name", anothers, anothersAuthority, "hush", `cannot validate certificate for 127\.\S+ .*: shared is to have the name`},
			{"wrong password", addr, authority, "other", `WRONGPASS`},
			{"no TLS there", net.JoinHostPort(plain, port), authority, "hush", `no answer within 1s, perhaps it has no TLS at that port`},
		} {
			p := start(test.addr, test.authority, test.password)
			if !realhost.Eventually(func() bool { return p.log.Logged("shared memory is away") }) {
				t.Errorf("%s: the log does not say that it is away", test.name)
			}
			p.run(t, `(?m)^FAIL  shared memory: rediss://\S+: .*(`+test.want+`).*\. Until it can be used each front end goes on alone$`, "check")
			p.run(t, `(?m)^shared:    nothing through rediss://\S+ now, .*(`+test.want+`)`, "cache", "stats")
			p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
			p.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
			if p.log.Logged("hush") {
				t.Errorf("%s: the log has the password", test.name)
			}
		}
	})
}
