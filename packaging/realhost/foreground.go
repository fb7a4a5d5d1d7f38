package realhost

import "path/filepath"

// startScript starts a command that stays in the foreground in a session of its
// own and keeps its process number, which is the session's. The files for the
// number and for what it says are the first two arguments, the command the rest.
const startScript = `pid=$1 log=$2; shift 2; setsid "$@" >>"$log" 2>&1 & echo $! >"$pid"`

// stopScript ends all the processes of a command that startScript has started.
// The file with the number is its argument. It kills, for a SIGTERM can get lost:
// a process that Exim starts for a session begins with the daemon's handler, which
// does no more than keep in mind that there was one. One that could not start may have
// ended by itself.
const stopScript = `kill -s KILL -- "-$(cat "$1")" || :`

// inForeground has the server started by a command that does not go into the
// background by itself. What it says is part of the log.
func (s *Server) inForeground(argv []string) {
	s.pidFile = filepath.Join(s.dir, "pid")
	s.startCommand = append([]string{"/bin/sh", "-c", startScript, "start", s.pidFile, s.logFile}, argv...)
	s.stopCommand = []string{"/bin/sh", "-c", stopScript, "stop", s.pidFile}
}
