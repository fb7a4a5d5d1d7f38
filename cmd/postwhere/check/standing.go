package check

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/control"
)

// standing looks whether the daemon runs by this very configuration: it goes on by the
// one that it has when a reload is refused, and is not told of a file that was edited.
func (k *checkup) standing(ctx context.Context, client *control.Client) {
	s, err := client.Standing(ctx)
	file, _ := filepath.Abs(k.file)
	switch {
	case err != nil:
		k.fail("daemon", "cannot be asked about its configuration: %v", err)
	case s.Why != "":
		k.fail("daemon", "%s, of %s was refused, and it goes on by that of %s: %s. `postwhere reload` has it try again", s.File, moment(s.Refused), moment(s.Since), s.Why)
	case s.File != file:
		k.note("daemon", "runs by another configuration, %s", s.File)
	default:
		if info, err := os.Stat(file); err == nil && info.ModTime().After(s.Since) {
			k.note("daemon", "%s has changed at %s, and it runs by that of %s: `postwhere reload` has it read again", file, moment(info.ModTime()), moment(s.Since))
		}
	}
}

func moment(t time.Time) string { return t.Local().Format(time.DateTime) }

// Unusable says which daemon goes on though the configuration in file is not to be used,
// "" if none does. Where it listens cannot be learnt from the file: it is looked for at
// the default control socket.
func Unusable(ctx context.Context, file string) string {
	client := control.NewClient(config.Default())
	defer client.Close()
	s, err := client.Standing(ctx)
	if file, _ = filepath.Abs(file); err != nil || s.File != file {
		return ""
	}
	return "the running daemon goes on by the configuration of " + moment(s.Since)
}
