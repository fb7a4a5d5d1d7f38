package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"postwhere/cmd/postwhere/testbed"
)

// tooLong ends a wait for what does not happen. No test waits so long otherwise.
func tooLong() <-chan time.Time { return time.After(time.Minute) }

// process is a daemon that a script runs.
type process struct {
	cmd     *exec.Cmd
	lines   chan string // of its log, that nobody has waited for
	log     []string    // those before
	next    int         // of log, for a wait that goes on behind the one before
	reading sync.WaitGroup
	over    bool
}

func startProcess(dir string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command("postwhere", args...), lines: make(chan string, 10000)}
	p.cmd.Dir = dir
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.reading.Go(func() {
		defer close(p.lines)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			p.lines <- in.Text()
		}
	})
	return p, nil
}

func (p *process) kill() {
	if !p.over {
		_ = p.cmd.Process.Kill()
		_, _ = p.wait()
	}
}

// wait returns the exit status.
func (p *process) wait() (int, error) {
	p.over = true
	p.reading.Wait()
	err := p.cmd.Wait()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode(), nil
	}
	return 0, err
}

// find returns where the log, from a line on, has one that matches. It waits for
// it.
func (p *process) find(ts *testscript.TestScript, from int, want *regexp.Regexp) int {
	end := tooLong()
	for i := from; ; i++ {
		if i == len(p.log) {
			select {
			case line, ok := <-p.lines:
				if !ok {
					ts.Fatalf("the log ended without %q", want)
				}
				ts.Logf("[daemon] %s", line)
				if m := testbed.Listening.FindStringSubmatch(line); m != nil {
					ts.Setenv(m[1], m[2])
				}
				p.log = append(p.log, line)
			case <-end:
				ts.Fatalf("no line of the log has %q", want)
			}
		}
		if want.MatchString(p.log[i]) {
			return i
		}
	}
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	p, err := startProcess(ts.MkAbs("."), "serve", "-c", args[0])
	ts.Check(err)
	stageOf(ts).daemon = p
	ts.Setenv("pid", strconv.Itoa(p.cmd.Process.Pid))
	p.next = p.find(ts, 0, regexp.MustCompile(`msg=started`)) + 1
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	sig := map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[0]]
	ts.Check(stageOf(ts).daemon.cmd.Process.Signal(sig))
}

func cmdLogged(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	p := stageOf(ts).daemon
	p.next = p.find(ts, p.next, regexp.MustCompile(args[0])) + 1
}

func cmdSaid(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	stageOf(ts).daemon.find(ts, 0, regexp.MustCompile(args[0]))
}

func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1)
	status, err := stageOf(ts).daemon.wait()
	ts.Check(err)
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("the daemon ended with %d, want %s", status, args[0])
	}
}

func cmdKilled(ts *testscript.TestScript, neg bool, _ []string) {
	wantArgs(ts, neg, nil, 0)
	if status, _ := stageOf(ts).daemon.wait(); status != -1 {
		ts.Fatalf("the daemon ended with %d, want it killed by the signal", status)
	}
}

// asking is a connection on which a request was sent.
type asking struct {
	conn net.Conn
	read func(*bufio.Reader) (string, error)
}

func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3)
	send(ts, args[0], args[1], "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient="+args[2]+"\n\n", testbed.ReadAction)
}

func cmdFilter(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3)
	// Version 6, no actions; of the events RCPT TO alone is replied to.
	send(ts, args[0], args[1], testbed.MilterFrame('O', "\x00\x00\x00\x06\x00\x00\x01\x00\x00\x1f\xff\xff")+
		testbed.MilterFrame('C', "client.example\x004\x1f\x90192.0.2.7\x00")+testbed.MilterFrame('M', "<>\x00")+
		testbed.MilterFrame('D', "R{rcpt_mailer}\x00relay\x00")+testbed.MilterFrame('R', "<"+args[2]+">\x00"), readMilter)
}

// readMilter reads the reply that is none to the negotiation.
func readMilter(in *bufio.Reader) (string, error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return "", err
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, body); err != nil || body[0] != 'O' {
			return string(body), err
		}
	}
}

func cmdLookup(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 4)
	send(ts, args[0], args[1], testbed.Netstring(args[2]+" "+args[3]), readNetstring)
}

func cmdTable(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3)
	send(ts, args[0], args[1], "get "+args[2]+"\n", func(in *bufio.Reader) (string, error) {
		line, err := in.ReadString('\n')
		return strings.TrimSuffix(line, "\n"), err
	})
}

func send(ts *testscript.TestScript, name, to, request string, read func(*bufio.Reader) (string, error)) {
	network := "tcp"
	if strings.HasPrefix(to, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, to)
	ts.Check(err)
	stageOf(ts).conns[name] = &asking{conn, read}
	_, err = io.WriteString(conn, request)
	ts.Check(err)
}

func cmdTold(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2)
	a := stageOf(ts).conns[args[0]]
	defer a.conn.Close()
	ts.Check(a.conn.SetReadDeadline(time.Now().Add(time.Minute)))
	reply, err := a.read(bufio.NewReader(a.conn))
	ts.Check(err)
	if !regexp.MustCompile(args[1]).MatchString(reply) {
		ts.Fatalf("told %q, want %q", reply, args[1])
	}
}

func readNetstring(in *bufio.Reader) (string, error) {
	var length int
	if _, err := fmt.Fscanf(in, "%d:", &length); err != nil {
		return "", err
	}
	text := make([]byte, length+1)
	_, err := io.ReadFull(in, text)
	return strings.TrimSuffix(string(text), ","), err
}
