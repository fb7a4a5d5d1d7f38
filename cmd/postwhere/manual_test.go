package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"postwhere/cmd/postwhere/daemon"
)

// manual is the page of the commands, by its sections: SYNOPSIS and so on, and
// each command under its heading.
type manual struct {
	sections map[string]string
	commands map[string]string // by name: "cache flush"
	headings map[string]string // by name, with what follows it
}

var commandName = regexp.MustCompile(`^[a-z]+(?: [a-z]+)*`)

func readManual(t *testing.T) manual {
	t.Helper()
	m := manual{make(map[string]string), make(map[string]string), make(map[string]string)}
	for _, section := range strings.Split(readDocument(t, pageOfCommands), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		m.sections[name] = text
	}
	for _, command := range strings.Split(m.sections["COMMANDS"], "\n### ")[1:] {
		heading, text, _ := strings.Cut(command, "\n")
		name := commandName.FindString(heading)
		if name == "completion bash" {
			name = "completion" // bash is what it takes
		}
		m.commands[name], m.headings[name] = text, heading
	}
	return m
}

// commandsBelow returns the commands that do something, by their names.
func commandsBelow(of *cobra.Command, above string) map[string]*cobra.Command {
	all := make(map[string]*cobra.Command)
	for _, cmd := range of.Commands() {
		name := strings.TrimSpace(above + " " + cmd.Name())
		if cmd.HasSubCommands() {
			maps.Copy(all, commandsBelow(cmd, name))
		} else if !cmd.Hidden {
			all[name] = cmd
		}
	}
	return all
}

func ourCommands() map[string]*cobra.Command {
	return commandsBelow(rootCommand(streams{strings.NewReader(""), io.Discard, io.Discard}), "")
}

func TestEveryCommandIsInTheManual(t *testing.T) {
	m, commands := readManual(t), ourCommands()
	_, inREADME, _ := strings.Cut(readDocument(t, readmeFile), "\n## Commands\n")
	for name := range commands {
		if m.commands[name] == "" {
			t.Errorf("COMMANDS lacks %s", name)
		}
		word := regexp.MustCompile(`\b` + strings.ReplaceAll(name, " ", `\b.*\b`) + `\b`)
		if !word.MatchString(strings.ReplaceAll(m.sections["SYNOPSIS"], "*", "")) {
			t.Errorf("SYNOPSIS lacks %s", name)
		}
		if !word.MatchString(inREADME) {
			t.Errorf("README.md lacks %s", name)
		}
	}
	for name := range m.commands {
		if commands[name] == nil {
			t.Errorf("COMMANDS has %s, which there is not", name)
		}
	}
}

var (
	flagEntry   = regexp.MustCompile(`(?m)^\*\*--([a-z-]+)\*\*(?: \*([A-Z]+)\*)?\n: `)
	flagInTitle = regexp.MustCompile(`--[a-z-]+`)
)

func TestEveryFlagIsInTheManual(t *testing.T) {
	m := readManual(t)
	for name, cmd := range ourCommands() {
		entries := make(map[string][]string)
		for _, e := range flagEntry.FindAllStringSubmatch(m.commands[name], -1) {
			entries[e[1]] = e
		}
		var flags []string
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			flags = append(flags, "--"+f.Name)
			value, _ := pflag.UnquoteUsage(f)
			switch e := entries[f.Name]; {
			case e == nil:
				t.Errorf("%s has no entry for --%s", name, f.Name)
			case e[2] != value:
				t.Errorf("%s --%s takes %q, its entry has %q", name, f.Name, value, e[2])
			case !slices.Contains([]string{"", "false", "[]"}, f.DefValue) && !strings.Contains(m.commands[name], "default: **"+f.DefValue+"**"):
				t.Errorf("%s --%s is %s by default, its entry does not say so", name, f.Name, f.DefValue)
			}
			delete(entries, f.Name)
		})
		for flag := range entries {
			t.Errorf("%s has an entry for --%s, which there is not", name, flag)
		}
		if in := flagInTitle.FindAllString(m.headings[name], -1); !sameWords(in, flags) {
			t.Errorf("%s has the flags %v, its heading %v", name, flags, in)
		}
		for _, flag := range flags {
			if !strings.Contains(m.sections["SYNOPSIS"], "**"+flag+"**") {
				t.Errorf("SYNOPSIS lacks %s of %s", flag, name)
			}
		}
	}
}

func sameWords(a, b []string) bool {
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b))))
}

func TestOptionsOfEveryCommandAreInTheManual(t *testing.T) {
	options := readManual(t).sections["OPTIONS"]
	root := rootCommand(streams{strings.NewReader(""), io.Discard, io.Discard})
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	root.LocalFlags().VisitAll(func(f *pflag.Flag) {
		entry := fmt.Sprintf("**-%s**, **--%s**", f.Shorthand, f.Name)
		if value, _ := pflag.UnquoteUsage(f); value != "" {
			entry += " *" + value + "*"
		}
		if !strings.Contains(options, entry+"\n") {
			t.Errorf("OPTIONS lacks %s", entry)
		}
		if f.Value.Type() == "string" && !strings.Contains(options, "Default: `"+f.DefValue+"`") {
			t.Errorf("OPTIONS does not say that --%s is %s by default", f.Name, f.DefValue)
		}
	})
}

// Each constant exit… has its status there, and no other is.
func TestEveryExitStatusIsInTheManual(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, is := n.(*ast.ValueSpec); is && strings.HasPrefix(spec.Names[0].Name, "exit") {
			known[spec.Values[0].(*ast.BasicLit).Value] = true
		}
		return true
	})
	told := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\*\*(\d+)\*\*$`).FindAllStringSubmatch(readManual(t).sections["EXIT STATUS"], -1) {
		told[m[1]] = true
	}
	if len(known) == 0 || !maps.Equal(known, told) {
		t.Errorf("main.go has %v, EXIT STATUS %v", slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(told)))
	}
}

// What the program takes from its environment is told, and its signals.
func TestEnvironmentAndSignalsAreInTheManual(t *testing.T) {
	m := readManual(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, rooms...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range regexp.MustCompile(`os\.(?:Getenv|LookupEnv)\("(\w+)"\)`).FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m.sections["ENVIRONMENT"], "**"+v[1]+"**") {
				t.Errorf("%s reads %s, ENVIRONMENT lacks it", file, v[1])
			}
		}
	}
	for _, signal := range []string{"SIGHUP", "SIGTERM", "SIGINT", fmt.Sprintf("within %.0f seconds", daemon.DrainTime.Seconds())} {
		if !strings.Contains(m.sections["SIGNALS"], signal) {
			t.Errorf("SIGNALS lacks %s", signal)
		}
	}
}
