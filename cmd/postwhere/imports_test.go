package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which of our packages each package may import: the one
// direction cmd -> faces, cache, probe -> policy. A face is built on the stream
// server and the tables, knows no other face, and neither cache nor probe.
var mayImport = map[string][]string{
	"policy":                   {},
	"policy/server":            {"policy"},
	"policy/table":             {"policy", "policy/server"},
	"policy/delegation":        {"policy", "policy/server"},
	"policy/socketmap":         {"policy", "policy/server", "policy/table"},
	"policy/tcptable":          {"policy", "policy/server", "policy/table"},
	"milter":                   {"policy", "policy/server"},
	"cache":                    {"policy"},
	"cache/disk":               {"policy", "cache"},
	"cache/shared":             {"policy", "cache"},
	"probe":                    {"policy"},
	"cmd/postwhere/config":     {"policy", "probe", "cache", "cache/shared"},
	"cmd/postwhere/demo":       {"policy", "cmd/postwhere/config", "cmd/postwhere/daemon", "cmd/postwhere/maillog"},
	"cmd/postwhere/postfix":    {},
	"cmd/postwhere/testbed":    {"policy", "cmd/postwhere/config", "packaging/realhost"},
	"cmd/postwhere/maillog":    {"policy"},
	"cmd/postwhere/world":      {"policy", "probe", "cmd/postwhere/config"},
	"cmd/postwhere/control":    {"policy", "probe", "cmd/postwhere/config", "cmd/postwhere/maillog"},
	"cmd/postwhere/daemon":     {"policy", "policy/server", "policy/table", "policy/delegation", "policy/socketmap", "policy/tcptable", "milter", "probe", "cache", "cache/disk", "cache/shared", "cmd/postwhere/config", "cmd/postwhere/maillog", "cmd/postwhere/world", "cmd/postwhere/control"},
	"cmd/postwhere/attach":     {"policy/table", "probe", "cmd/postwhere/config", "cmd/postwhere/postfix", "cmd/postwhere/maillog"},
	"cmd/postwhere/check":      {"cache", "cache/shared", "policy", "probe", "cmd/postwhere/config", "cmd/postwhere/postfix", "cmd/postwhere/maillog", "cmd/postwhere/control", "cmd/postwhere/world", "cmd/postwhere/attach"},
	"packaging/realhost":       {},
	"packaging/machine":        {"packaging/realhost"},
	"cmd/postwhere":            nil, // all of it
	"policy/server/servertest": {"policy/server", "policy"},
}

// The core speaks no protocol: beside the standard library it has these.
var coreImports = []string{"golang.org/x/net/idna", "golang.org/x/sync/singleflight"}

func TestImportsPointOneWay(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := make(map[string]bool)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		relative, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(relative)
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("package %s is not in the house: say here what it may import", pkg)
		}
		seen[pkg] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			ours, isOurs := strings.CutPrefix(name, "postwhere/")
			switch {
			case isOurs && allowed != nil && !slices.Contains(allowed, ours):
				t.Errorf("%s: package %s must not import %s", file, pkg, ours)
			case !isOurs && pkg == "policy" && strings.Contains(strings.Split(name, "/")[0], ".") && !slices.Contains(coreImports, name):
				t.Errorf("%s: the core must not import %s", file, name)
			case !isOurs && pkg == "policy" && name != "net/netip" && (name == "net" || path.Dir(name) == "net"):
				t.Errorf("%s: the core does no I/O, and must not import %s", file, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("there is no package %s any more", pkg)
		}
	}
}
