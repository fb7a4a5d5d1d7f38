package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Where the configuration is written about, or out.
const (
	pageOfKeys     = "../../packaging/doc/postwhere.toml.5.md"
	pageOfCommands = "../../packaging/doc/postwhere.8.md"
	shippedFile    = "../../packaging/postwhere.toml"
	readmeFile     = "../../README.md"
)

// entry is a key of the configuration as a document has it.
type entry struct {
	key   string // with its table: "listen.tcp_table.map", "host.probe"
	value string // its default, in TOML; "" of one that has none
	kind  string // what the manual says that it takes; "" elsewhere
}

func readDocument(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	tableLine = regexp.MustCompile(`^#? *\[+([a-z_]+(?:\.[a-z_]+)?)[^\]]*\]`)
	// A default of the shipped file has nothing between # and key; what is
	// indented there is an example.
	keyLine     = regexp.MustCompile(`^#?([a-z][a-z0-9_]*) *= (.+?)(?: +#.*)?$`)
	exampleLine = regexp.MustCompile(`^# +([a-z][a-z0-9_]*) +=`)
	pageTable   = regexp.MustCompile(`^### \[+([a-z_.]+)`)
	pageEntry   = regexp.MustCompile("^\\*\\*([a-z0-9_]+)\\*\\* \\(([a-z ]+), (?:default `(.*)`|required|optional)\\)$")
)

// entriesOfFile returns the keys of a configuration, those behind # too.
func entriesOfFile(text string) []entry {
	var all []entry
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := tableLine.FindStringSubmatch(line); m != nil {
			table = tableOf(m[1])
		} else if m := keyLine.FindStringSubmatch(line); m != nil {
			all = append(all, entry{key: table + "." + m[1], value: m[2]})
		} else if m := exampleLine.FindStringSubmatch(line); m != nil {
			all = append(all, entry{key: table + "." + m[1]})
		}
	}
	return all
}

// entriesOfPage returns the keys of the manual page.
func entriesOfPage(text string) []entry {
	var all []entry
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := pageTable.FindStringSubmatch(line); m != nil {
			table = tableOf(m[1])
		} else if m := pageEntry.FindStringSubmatch(line); m != nil {
			all = append(all, entry{key: table + "." + m[1], kind: m[2], value: m[3]})
		}
	}
	return all
}

// tableOf returns a table's name without that of the host.
func tableOf(name string) string {
	if strings.HasPrefix(name, "host.") {
		return "host"
	}
	return strings.TrimSuffix(name, ".")
}

// readmeListing returns the configuration that the README shows.
func readmeListing(t *testing.T) string {
	t.Helper()
	_, section, _ := strings.Cut(readDocument(t, readmeFile), "\n## Configuration\n")
	_, listing, _ := strings.Cut(section, "```toml\n")
	listing, _, found := strings.Cut(listing, "```\n")
	if !found {
		t.Fatal("README.md has no listing in its section Configuration")
	}
	return listing
}
