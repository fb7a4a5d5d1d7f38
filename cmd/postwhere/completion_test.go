package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
)

// bashCompletion is what the script for bash builds on, as all of cobra's do.
const bashCompletion = "/usr/share/bash-completion/bash_completion"

// completing completes words in a shell, as its user would have it at the last of
// them: $script has what `postwhere completion` prints. Each shell's program prints
// a completion a line.
var completing = map[string]string{
	// $COMP_LINE has the whole line.
	"bash": `
source ` + bashCompletion + `
source "$script"
compopt() { :; } # is for a completion by the keyboard
COMP_POINT=${#COMP_LINE} COMP_TYPE=37 COMP_KEY=9
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
[[ $(complete -p postwhere) == *__start_postwhere* ]] || exit
__start_postwhere
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"`,
	// _describe is zsh's display, which wants a keyboard. In what it gets, colons stand
	// behind backslashes but for the one before a description.
	"zsh": `
autoload -U compinit; compinit -u -D
source "$script"
_describe() { print -l -- ${${${completions//\\:/%}%%:*}//\%/:} }
[[ $_comps[postwhere] == _postwhere ]] || exit
words=("$@") CURRENT=$#
_postwhere`,
	"fish": `
source "$script"
complete -C "$argv" | string replace -r '\t.*' ''`,
}

// completed returns what a shell offers, in a folder with files. It may be called
// concurrently.
func completed(t *testing.T, shell string, words ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := map[string][]string{
		"bash": {"--norc", "-c", completing["bash"], "bash"},
		"zsh":  {"-f", "-c", completing["zsh"], "zsh"},
		"fish": {"--no-config", "-c", completing["fish"]},
	}[shell]
	cmd := exec.CommandContext(ctx, shell, append(args, words...)...)
	cmd.Dir = t.TempDir()
	for _, name := range []string{"one.txt", "two.toml"} {
		if err := os.WriteFile(filepath.Join(cmd.Dir, name), nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	script := filepath.Join(t.TempDir(), "script")
	writeCompletion(t, shell, script)
	line := strings.ReplaceAll(strings.Join(words, " "), " : ", ":")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10", "HOME="+cmd.Dir, "XDG_CONFIG_HOME="+cmd.Dir, "COMP_LINE="+line, "script="+script)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	t.Logf("%s completes %q: %q, %v\n%s", shell, words, out, err, stderr.String())
	return strings.Fields(string(out))
}

// writeCompletion writes a shell's script into a file.
func writeCompletion(t *testing.T, shell, file string) {
	t.Helper()
	var out, complaint strings.Builder
	if status := run(t.Context(), []string{"completion", shell}, streams{strings.NewReader(""), &out, &complaint}); status != exitOK || complaint.Len() > 0 {
		t.Errorf("completion %s: %d, %s", shell, status, &complaint)
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
		t.Error(err)
	}
}

// The scripts are in the languages of their shells.
func TestShellsTakeTheirScripts(t *testing.T) {
	realhost.NeedPrograms(t, "bash", "fish", "zsh")
	for shell := range completing {
		file := filepath.Join(t.TempDir(), shell)
		writeCompletion(t, shell, file)
		if out, err := command(t, shell, "-n", file); err != nil || out != "" {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}

func TestShellsComplete(t *testing.T) {
	realhost.NeedPrograms(t, "bash", "fish", "zsh")
	if _, err := os.Stat(bashCompletion); err != nil {
		realhost.NeedPrograms(t, "bash-completion")
	}
	dir := t.TempDir()
	text := "[listen]\npolicy = []\nmilter = []\nsocketmap = []\ncontrol = ['unix:" + dir + "/control']\n" +
		"[cache]\nfile = ''\n[[domain]]\nname = ['example.com', 'example.net']\nhosts = ['mail1', 'mail2', '192.0.2.1:2525']\n" +
		"[host.mail1]\nprobe = '127.0.0.1:1'\n[host.mail2]\nprobe = '127.0.0.1:1'\n[host.'192.0.2.1:2525']\nprobe = '127.0.0.1:1'\n"
	file := filepath.Join(dir, "postwhere.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []string{"192.0.2.1:2525", "mail1", "mail2"}
	check := func(words, want []string) {
		t.Helper()
		var shells sync.WaitGroup
		for shell := range completing {
			shells.Go(func() {
				got := completed(t, shell, append([]string{"postwhere", "-c", file}, words...)...)
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("%s completes %q by %q, want %q", shell, words, got, want)
				}
			})
		}
		shells.Wait()
	}
	check([]string{"und"}, []string{"undrain"})
	check([]string{"cache", ""}, []string{"dump", "flush", "stats"})
	check([]string{"postfix", "--m"}, []string{"--map-only", "--mesh", "--milter"})
	check([]string{"completion", ""}, []string{"bash", "fish", "zsh"})
	check([]string{"check", ""}, nil) // and no files
	check([]string{"cache", "flush", "--domain", ""}, []string{"example.com", "example.net"})
	check([]string{"drain", ""}, all) // of the configuration
	check([]string{"undrain", ""}, nil)

	d := daemon.New(maillog.New(testbed.Log(t)))
	testbed.Run(t, d, testbed.Parse(t, text))
	if _, err := d.Drain([]string{"mail2"}, true); err != nil {
		t.Fatal(err)
	}
	check([]string{"undrain", ""}, []string{"mail2"})
	check([]string{"drain", "mail1", "m"}, []string{"mail2"})
	check([]string{"cache", "flush", "--host", "192"}, []string{"192.0.2.1:2525"})
}

// bash takes the colon of a port for the end of a word, and replaces what is behind.
func TestBashCompletesBehindAColon(t *testing.T) {
	realhost.NeedPrograms(t, "bash")
	if _, err := os.Stat(bashCompletion); err != nil {
		realhost.NeedPrograms(t, "bash-completion")
	}
	dir := t.TempDir()
	text := "[listen]\ncontrol = ['unix:" + dir + "/control']\n[[domain]]\nname = 'example.com'\nhosts = ['mail1:2525']\n"
	file := filepath.Join(dir, "postwhere.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := completed(t, "bash", "postwhere", "-c", file, "drain", "mail1", ":", "2"); !slices.Equal(got, []string{"2525"}) {
		t.Errorf("bash completes mail1:2 by %q", got)
	}
}
