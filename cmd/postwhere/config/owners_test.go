package config

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// load writes a configuration whose domain has hosts mail1 and mail2 and a file
// of owners, and loads it.
func loadOwners(t *testing.T, owners string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"owners":         owners,
		"postwhere.toml": "[[domain]]\nname = ['example.com', 'bücher.example']\nhosts = ['mail1', 'mail2']\nowners = 'owners'\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "postwhere.toml"))
	if err != nil { // so that messages are the same wherever the test runs
		err = errors.New(strings.ReplaceAll(err.Error(), dir+"/", ""))
	}
	return c, err
}

func TestOwnersFileIsRead(t *testing.T) {
	c, err := loadOwners(t, "# ours\n\n  anna@example.com mail1\r\nBert@EXAMPLE.com.\t \tmail2\n\"a b\"@example.com mail1\ncarla@Bücher.example mail2\nbert@example.com mail2\nlast@example.com mail1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.Domain[0].OwnerList(), map[string]string{
		"anna@example.com": "mail1", "bert@example.com": "mail2", "a b@example.com": "mail1", "carla@example.com": "mail2", "last@example.com": "mail1",
	})
}

func TestOwnersOfADomainByMXMayHaveAnyHost(t *testing.T) {
	d := Domain{Name: Names{"example.com"}}
	var wrong problems
	same(t, d.parseOwners("owners", strings.NewReader("anna@example.com mx1.example.net\n"), &wrong), map[string]string{"anna@example.com": "mx1.example.net"})
	if wrong != nil {
		t.Error(wrong)
	}
}

func TestBadLineOfTheOwnersFileIsRefusedWithItsPlace(t *testing.T) {
	for _, f := range []struct{ name, text, want string }{
		{"no host", "anna@example.com\n", `owners:1: want ADDRESS HOST, got "anna@example.com"`},
		{"no address", "\nanna mail1\n", `owners:2: not an address: want local-part@domain, got "anna"`},
		{"foreign address", "anna@example.org mail1\n", `owners:1: anna@example.org is not in the domain example.com`},
		{"unknown host", "anna@example.com mail3\n", `owners:1: mail3 is none of the domain's hosts: mail1, mail2`},
		{"contradiction", "anna@example.com mail1\nANNA@xn--bcher-kva.example mail2\n", `owners:2: ANNA@xn--bcher-kva.example is given to mail2, and before to mail1`},
		{"control character", "an\x01na@example.com mail1\n", `owners:1: address cannot be put to a mail host: control character in local part`},
		{"line too long", "anna@example.com mail1\n" + strings.Repeat("x", 5000) + "\n", `owners:2: a line of more than 4096 octets: want ADDRESS HOST`},
		{"many", strings.Repeat("x\n", 100), strings.Repeat("owners:N: want ADDRESS HOST, got \"x\"\n", 20) + `owners: and 80 more lines are wrong`},
	} {
		t.Run(f.name, func(t *testing.T) {
			_, err := loadOwners(t, f.text)
			if err == nil {
				t.Fatal("accepted")
			}
			got := strings.ReplaceAll(err.Error(), "postwhere.toml: ", "")
			if f.name == "many" {
				for _, n := range strings.Split("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20", " ") {
					got = strings.Replace(got, "owners:"+n+":", "owners:N:", 1)
				}
			}
			same(t, got, f.want)
		})
	}
}

func TestOwnersFileThatIsNoneIsRefused(t *testing.T) {
	dir := t.TempDir()
	missing, fifo := filepath.Join(dir, "missing"), filepath.Join(dir, "fifo")
	if runtime.GOOS == "linux" {
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		missing: "p.toml: domain example.com: owners: stat " + missing + ": no such file or directory",
		dir:     "p.toml: domain example.com: owners: " + dir + " is no file",
		fifo:    "p.toml: domain example.com: owners: " + fifo + " is no file", // reading it would never end
	} {
		_, err := Parse("p.toml", one+"owners = '"+path+"'\n")
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
