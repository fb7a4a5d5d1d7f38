package config

import (
	"testing"
)

// A file that can be read can be read with another domain in it, and has just that.
func FuzzEdit(f *testing.F) {
	f.Add("#[[domain]]\n#name = \"a\"\n#hosts = []\n")
	f.Add("[[domain]]\nname = \"a\"\n[host.\"a\"]\n# x\n[listen]\n")
	f.Add("x = '''\n[[domain]]\n'''\n")
	f.Fuzz(func(t *testing.T, old string) {
		_ = WithoutDomains(old, []string{"mail1"})
		if n, err := Domains(old); err != nil || n > 0 {
			return
		}
		text := WithDomain(old, []string{"example.com"}, []string{"mail1"})
		if n, err := Domains(text); err == nil && n != 1 {
			t.Fatalf("%q has %d domains", text, n)
		}
	})
}
