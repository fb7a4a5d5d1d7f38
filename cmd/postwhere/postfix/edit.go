package postfix

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Edit is one change: a command for postconf(1), or a file beside main.cf.
type Edit struct {
	Why  []string // lines for the reader, before it
	Args []string // of postconf

	// File and Text: a file in the configuration directory, in place of Args.
	File, Text string
}

// Shell returns the change as lines for sh(1).
func (e Edit) Shell() string {
	var b strings.Builder
	for _, line := range e.Why {
		b.WriteString("# " + line + "\n")
	}
	switch {
	case e.File != "":
		b.WriteString("printf '%s\\n' " + quoted(strings.TrimSuffix(e.Text, "\n")) + ` > "$(postconf -h config_directory)/` + e.File + "\"\n")
	case len(e.Args) > 0:
		b.WriteString("postconf")
		for i, arg := range e.Args {
			if i > 1 {
				b.WriteString(" \\\n   ")
			}
			b.WriteString(" " + quoted(arg))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// quoted returns a word for the shell.
func quoted(word string) string {
	if strings.HasPrefix(word, "-") && !strings.ContainsAny(word, " '") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// perform makes the change in a configuration directory.
func (e Edit) perform(ctx context.Context, dir string) error {
	if e.File != "" {
		return os.WriteFile(filepath.Join(dir, e.File), []byte(e.Text), 0o644) //nolint:gosec // Postfix's daemons read it
	}
	if len(e.Args) == 0 {
		return nil
	}
	if _, err := postconf(ctx, dir, e.Args...); err != nil {
		return err
	}
	return age(dir)
}

// age makes the files of a copy look old: Postfix reads a file again and again, with
// pauses, until its last change is a second ago (dict_load_file_xt).
func age(dir string) error {
	past := time.Now().Add(-time.Minute)
	for _, name := range both {
		if err := os.Chtimes(filepath.Join(dir, name), past, past); err != nil {
			return err
		}
	}
	return nil
}
