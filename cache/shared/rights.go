package shared

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rehearsal returns commands that need every right a front end needs, on its keys. They
// leave nothing behind: what would stay is said so that the server refuses it, which is
// after it has looked at the rights.
func (l *Link) rehearsal() [][]any {
	check, purges, denials := l.cfg.Server.Prefix+"check", l.purgeStream(), l.denialStream()
	const noSuchScript, noSuchEntry = "0000000000000000000000000000000000000000", "0-0"
	return append([][]any{
		{"PING"},
		{"TIME"},
		{"INFO", "server"},
		{"SET", check, "", "PX", 1000},
		{"GETRANGE", check, 0, 0},
		{"PEXPIRE", check, 1000},
		{"DEL", check},
		{"SCAN", 0, "MATCH", globQuote(check), "COUNT", 1},
		{"EVALSHA", noSuchScript, 0},
		{"EVAL", "return 1", 0},
		{"XADD", purges, noSuchEntry, "v", version},
		{"XADD", denials, noSuchEntry, "v", version},
	}, l.reads()...)
}

// reads is the part of it that reading the streams needs. It fetches nothing, however large it is.
func (l *Link) reads() [][]any {
	check, purges, denials := l.cfg.Server.Prefix+"check", l.purgeStream(), l.denialStream()
	return [][]any{
		{"XREAD", "COUNT", 1, "STREAMS", purges, denials, ahead, ahead},
		{"XRANGE", purges, ahead, ahead},
		{"XLEN", purges},
		{"XINFO", "STREAM", check},
	}
}

// deniedCommand is which one a user may not use, as Redis and Valkey say it.
var deniedCommand = regexp.MustCompile(`run the '([a-z|]+)'`)

// checkRights tells which rights the user lacks, as ACL SETUSER has them.
func (l *Link) checkRights(ctx context.Context, rehearsal [][]any) error {
	var lacks []string
	for _, command := range rehearsal {
		err := l.patient.Do(ctx, command...).Err()
		switch {
		case err == nil:
			continue
		case !isReply(err):
			return err
		case !strings.HasPrefix(err.Error(), "NOPERM"):
			continue // nothing there, or refused as it was to be
		}
		right := "~" + l.cfg.Server.Prefix + "*"
		if m := deniedCommand.FindStringSubmatch(err.Error()); m != nil {
			right = "+" + m[1]
		}
		if !slices.Contains(lacks, right) {
			lacks = append(lacks, right)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	user := l.cfg.Server.User
	if user == "" {
		user = "default"
	}
	return fmt.Errorf("its user has not all rights: ACL SETUSER %s %s", user, strings.Join(lacks, " "))
}
