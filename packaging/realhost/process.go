package realhost

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// process is what /proc/PID/stat says of a process, see proc(5).
type process struct {
	pid     int
	name    string
	zombie  bool
	parent  int
	session int
}

func (p process) String() string { return fmt.Sprintf("%s[%d]", p.name, p.pid) }

// kill is the last resort for one of our own server's processes.
func (p process) kill() { _ = syscall.Kill(p.pid, syscall.SIGKILL) }

// parseStat reads "PID (NAME) STATE PPID PGRP SESSION ...". The name may hold
// blanks and brackets.
func parseStat(text []byte) (process, bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	p := process{name: string(text[open+1 : end])}
	var state string
	var group int
	if _, err := fmt.Sscan(string(text[:open]), &p.pid); err != nil {
		return process{}, false
	}
	if _, err := fmt.Sscan(string(text[end+1:]), &state, &p.parent, &group, &p.session); err != nil {
		return process{}, false
	}
	p.zombie = state == "Z"
	return p, true
}

// remaining returns the server's processes: those of its session, and those
// that work in its directory, such as a command that it left in the background.
// It lays the dead to rest of whom we became the parent.
func (s *Server) remaining() []process {
	var found []process
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // only a bad pattern is an error
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // has ended since
		}
		p, ok := parseStat(text)
		if !ok || !s.owns(p) {
			continue
		}
		if p.zombie {
			if p.parent == os.Getpid() {
				_, _ = syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
			} else if p.parent != s.session {
				continue // init's
			}
		}
		found = append(found, p)
	}
	return found
}

// ended reports whether the server's first process is no more.
func (s *Server) ended() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.session))
	p, ok := parseStat(text)
	return err != nil || ok && p.zombie
}

func (s *Server) owns(p process) bool {
	if s.session != 0 && p.session == s.session {
		return true
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid))
	return err == nil && (cwd == s.dir || strings.HasPrefix(cwd, s.dir+"/"))
}

// waitGone waits until the server has no process and returns those that it
// still has after [patience].
func (s *Server) waitGone() []process {
	var left []process
	poll(func() bool {
		left = s.remaining()
		return len(left) == 0
	})
	return left
}

// readPID returns the number in a pid file, 0 if there is none.
func readPID(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}
