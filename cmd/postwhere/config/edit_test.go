package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The file that a package brings keeps each line but those of its example.
func TestWithDomainInTheShippedFile(t *testing.T) {
	t.Parallel()
	shipped, err := os.ReadFile("../../../packaging/postwhere.toml")
	if err != nil {
		t.Fatal(err)
	}
	if HasDomain(shipped) {
		t.Fatal("it is taken for one that was edited")
	}
	text := WithDomain(string(shipped), []string{"example.org"}, []string{"a", "b:2525"})
	cfg, err := Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cfg.Domain; len(d) != 1 || !slices.Equal(d[0].Name, Names{"example.org"}) || !slices.Equal(d[0].Hosts, []string{"a", "b:2525"}) {
		t.Errorf("got %+v", d)
	}
	was, is := strings.Split(string(shipped), "\n"), strings.Split(text, "\n")
	var changed []string
	for i := range was {
		if i >= len(is) || was[i] != is[i] {
			changed = append(changed, was[i])
		}
	}
	if len(was) != len(is) || len(changed) != 3 || !strings.HasPrefix(changed[0], "#[[domain]]") {
		t.Errorf("changed: %q", changed)
	}
	if !HasDomain([]byte(text)) {
		t.Error("once set up, it is not taken for one that was edited")
	}
}

func TestWithoutDomains(t *testing.T) {
	t.Parallel()
	const text = `# top
[listen]
policy = [
  "inet:127.0.0.1:1"]

[[domain]] # old
name = "a.example"
hosts = [
  "x",
  # the second
  "y.example"
]
# about x
[host.x]
connections = 1
[host."y.example"]
connections = 2
[host.'z.example']
connections = 3
# end
[search]
deadline = "9s"
`
	const want = `# top
[listen]
policy = [
  "inet:127.0.0.1:1"]

# about x
[host.x]
connections = 1
# end
[search]
deadline = "9s"
`
	if diff := cmp.Diff(want, WithoutDomains(text, []string{"x"})); diff != "" {
		t.Error(diff)
	}
}
