package main

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"

	"postwhere/cmd/postwhere/demo"
	"postwhere/cmd/postwhere/testbed"
)

// TestScript runs testdata/script: the program as its users meet it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			s := &stage{hosts: make(map[string]*demo.MailHost), held: make(map[string]*testbed.Gate), conns: make(map[string]*asking)}
			env.Values[stageKey{}] = s
			// Else each program that is built with -race takes a second to end.
			env.Vars = append(env.Vars, "GORACE=atexit_sleep_ms=10")
			env.Defer(s.clear)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// Programs and files.
			"exits": cmdExits, // STATUS PROGRAM ARG…: runs it and wants that exit status
			"conf":  cmdConf,  // FILE…: replaces $NAME in it; it keeps nothing over a restart unless it says so
			// Mail hosts. $NAME is where it listens.
			"mailhost": cmdMailHost, // NAME MAILBOX…: starts one
			"down":     cmdDown,     // NAME
			"up":       cmdUp,       // NAME
			"fickle":   cmdFickle,   // NAME MAILBOX…: starts one that has nobody while there is a file NAME.broken
			"catchall": cmdCatchAll, // NAME: starts one that accepts everything
			"oddhost":  cmdOddHost,  // NAME REPLY: starts one that says this to every RCPT TO
			"holdhost": cmdHoldHost, // NAME MAILBOX…: starts one that answers when it is released
			"held":     cmdHeld,     // NAME: waits until a question is held there
			"release":  cmdRelease,  // NAME
			// The daemon.
			"serve":  cmdServe,  // FILE: starts it and waits until it is up; $policy and so on are where it listens, $pid is its process
			"signal": cmdSignal, // TERM, HUP or KILL
			"logged": cmdLogged, // REGEXP: waits for a line of its log behind the last one that was waited for
			"said":   cmdSaid,   // REGEXP: the same, for a line anywhere in it
			"ended":  cmdEnded,  // STATUS: waits until it has
			"killed": cmdKilled, // the same, by a signal
			// Postfix.
			"ask":    cmdAsk,    // NAME LISTENER RECIPIENT: sends a policy request
			"filter": cmdFilter, // NAME LISTENER RECIPIENT: sends what comes first to a milter, and a recipient
			"lookup": cmdLookup, // NAME LISTENER MAP KEY: sends a socketmap request
			"table":  cmdTable,  // NAME LISTENER KEY: sends a tcp_table request
			"told":   cmdTold,   // NAME REGEXP: waits for the reply
		},
	})
}

// stage is what a script has set up.
type stage struct {
	hosts  map[string]*demo.MailHost
	odd    []*testbed.Host
	held   map[string]*testbed.Gate
	daemon *process
	conns  map[string]*asking
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func (s *stage) clear() {
	for _, c := range s.conns {
		_ = c.conn.Close()
	}
	for _, g := range s.held {
		g.Pass()
	}
	if s.daemon != nil {
		s.daemon.kill()
	}
	for _, h := range s.hosts {
		h.Stop()
	}
	for _, h := range s.odd {
		h.Stop()
	}
}

// wantArgs checks how a command of a script was called.
func wantArgs(ts *testscript.TestScript, neg bool, args []string, least int) {
	if neg || len(args) < least {
		ts.Fatalf("want %d arguments or more, and no !", least)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func cmdConf(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), func(name string) string {
			if value := ts.Getenv(name); value != "" {
				return value
			}
			ts.Fatalf("%s: there is no $%s", file, name)
			return ""
		})
		if strings.HasSuffix(file, ".toml") && !strings.Contains(text, "[cache]") {
			text += "[cache]\nfile = \"\"\n"
		}
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

func cmdMailHost(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	h, err := demo.NewMailHost(args[0], args[1:]...)
	ts.Check(err)
	stageOf(ts).hosts[args[0]] = h
	ts.Setenv(args[0], h.Address())
}

func cmdDown(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	stageOf(ts).hosts[args[0]].Stop()
}

func cmdUp(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	ts.Check(stageOf(ts).hosts[args[0]].Start())
}

func cmdFickle(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	broken, has := ts.MkAbs(args[0]+".broken"), testbed.Having(args[1:]...)
	addOddHost(ts, args[0], func(to string) error {
		if _, err := os.Stat(broken); err == nil {
			return testbed.ErrNobody
		}
		return has(to)
	})
}

func cmdCatchAll(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	addOddHost(ts, args[0], func(string) error { return nil })
}

func cmdOddHost(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2)
	m := regexp.MustCompile(`^(\d+) (?:(\d)\.(\d)\.(\d) )?(.*)$`).FindStringSubmatch(args[1])
	says := &smtp.SMTPError{Code: atoi(m[1]), EnhancedCode: smtp.NoEnhancedCode, Message: m[5]}
	if m[2] != "" {
		says.EnhancedCode = smtp.EnhancedCode{atoi(m[2]), atoi(m[3]), atoi(m[4])}
	}
	addOddHost(ts, args[0], func(string) error { return says })
}

func cmdHoldHost(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	g := testbed.NewGate()
	stageOf(ts).held[args[0]] = g
	addOddHost(ts, args[0], g.Before(func(to string) error {
		if slices.ContainsFunc(args[1:], func(m string) bool { return strings.EqualFold(m, to) }) {
			return nil
		}
		return testbed.ErrNobody
	}))
}

func addOddHost(ts *testscript.TestScript, name string, rcpt func(string) error) {
	h, err := testbed.NewHost(rcpt)
	ts.Check(err)
	s := stageOf(ts)
	s.odd = append(s.odd, h)
	ts.Setenv(name, h.Address)
}

func cmdHeld(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	select {
	case <-stageOf(ts).held[args[0]].Reached:
	case <-tooLong():
		ts.Fatalf("no question came")
	}
}

func cmdRelease(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	stageOf(ts).held[args[0]].Pass()
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
