package config

import (
	"strings"
	"testing"

	"postwhere/cache/shared"
)

func TestBadSharedMemoryIsRefused(t *testing.T) {
	bad{
		{"no URL", one + "[cache]\nshared = 'redis.example'\n",
			`p.toml:5:10: cache.shared: redis.example: want redis://HOST:PORT/DB, rediss:// or unix:///PATH`},
		{"another protocol", one + "[cache]\nshared = 'http://redis.example'\n",
			`p.toml:5:10: cache.shared: http://redis.example: want redis://HOST:PORT/DB, rediss:// or unix:///PATH`},
		{"no database", one + "[cache]\nshared = 'redis://h/x'\n",
			`p.toml:5:10: cache.shared: redis://h/x: want redis://HOST:PORT/DB, rediss:// or unix:///PATH`},
		{"options", one + "[cache]\nshared = 'redis://h/1?read_timeout=1'\n", `p.toml:5:10: cache.shared: redis://h/1?read_timeout=1: want no options behind it`},
		{"a number", one + "[cache]\nshared = 6379\n", `p.toml: cache.shared = 6379: want text in quotes`},
		{"user without password", one + "[cache]\nshared = 'redis://mail@h'\n", `p.toml: cache.shared has the user "mail": say shared_password_file, with the password`},
		{"password for nobody", one + "[cache]\nshared_password_file = 'p'\n", `p.toml: cache.shared is empty: shared_password_file and shared_ca_file are for a server`},
		{"authorities without TLS", one + "[cache]\nshared = 'redis://h'\nshared_ca_file = 'p'\n", `p.toml: cache.shared_ca_file needs TLS: say rediss:// in shared`},
		{"prefix with a blank", one + "[cache]\nshared = 'redis://h'\nshared_prefix = 'a b'\n", `p.toml: cache.shared_prefix "a b": want 1 to 100 letters, digits and signs, such as "postwhere:"`},
		{"no prefix", one + "[cache]\nshared = 'redis://h'\nshared_prefix = ''\n", `p.toml: cache.shared_prefix "": want 1 to 100 letters, digits and signs, such as "postwhere:"`},
	}.test(t)
}

// Whatever is wrong with a URL, the password that somebody has put into it is not said.
func TestPasswordInTheURLIsRefusedAndNotRepeated(t *testing.T) {
	for _, url := range []string{"redis://:hush@h", "redis://mail:hush@h/1", "rediss://mail:hush@h:port", "redis://mail:hush@h\\n", "redis://mail:hush@%zz"} {
		_, err := Parse("p.toml", one+"[cache]\nshared = \""+url+"\"\n")
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestFilesOfTheSharedMemory(t *testing.T) {
	dir := inDir(t, map[string]string{"two": "a\nb\n", "empty": "\n", "password": "hush\n"})
	for text, want := range map[string]string{
		"shared_password_file = 'missing'": "no such file",
		"shared_password_file = 'two'":     "cache.shared_password_file " + dir + "/two: want the password in one line",
		"shared_password_file = 'empty'":   "want the password in one line",
		"shared_ca_file = 'two'":           "cache.shared_ca_file " + dir + "/two: there is no certificate",
		"shared_ca_file = 'missing'":       "no such file",
	} {
		_, err := Parse(dir+"/p.toml", one+"[cache]\nshared = 'rediss://h'\n"+text+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	c, err := Parse(dir+"/p.toml", one+"[cache]\nshared = 'rediss://h'\nshared_password_file = 'password'\n")
	if err != nil {
		t.Fatal(err)
	}
	same(t, c.Cache.Shared.Server, shared.Server{Network: "tcp", Address: "h:6379", TLS: "h", Password: "hush", Prefix: "postwhere:"})
}
