package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/check"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/control"
	"postwhere/policy"
)

// setup is one run of the command.
type setup struct {
	*common
	domains, hosts []string
	force          bool
	asker          asker
	canAsk         bool
}

func setupCommand(c *common) *cobra.Command {
	s := &setup{common: c}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Write the first configuration: by questions, or by --domain and --host",
		Long: `Ask for the domain and its mail hosts, ask these how they answer, and write the
configuration file. What the flags say is not asked for; with --domain, or where there
is no terminal, nothing is, and nothing is written if a host's name cannot be looked up. A
file that has a domain already is changed by --force alone, and a copy of it is kept.

Exit status: 0, 1 if nothing was written or a host cannot be used as it is, 64 for wrong
usage, 78 if the file would not do.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("setup: what is %s? Say --host for each mail host, and --domain for each name", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) },
	}
	cmd.Flags().StringArrayVar(&s.domains, "domain", nil, "the `NAME` of the domain; again, for more names that lead to the same hosts")
	cmd.Flags().StringArrayVar(&s.hosts, "host", nil, "a mail `HOST`, NAME or NAME:PORT; again for each, the preferred one first; none: the domain's MX hosts")
	cmd.Flags().BoolVar(&s.force, "force", false, "put it in place of the domains that the file has, and write it whatever the hosts are")
	return cmd
}

func (s *setup) run(ctx context.Context) error {
	old, err := os.ReadFile(s.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return exit{exitConfig, err}
	}
	if config.HasDomain(old) && !s.force {
		return exit{exitProblem, fmt.Errorf("%s names a domain already, and is left as it is: change it by hand, or say --force for another in its place", s.file)}
	}
	s.asker, s.canAsk = newAsker(s.streams)
	asked := len(s.domains) == 0
	if asked {
		if err := s.ask(); err != nil {
			return err
		}
	}
	for _, name := range s.domains {
		if _, err := policy.NormalDomain(name); err != nil {
			return usage("%v", err)
		}
	}
	text, cfg, err := s.compose(string(old))
	if err != nil {
		return exit{exitConfig, err}
	}
	fine, unknown, err := check.Hosts(ctx, s.out, cfg)
	if err != nil {
		return exit{exitConfig, err}
	}
	switch {
	case asked && !s.asker.yes("Write "+s.file+"?"):
		return exit{exitProblem, errors.New("nothing was written")}
	case !asked && !s.force && len(unknown) > 0:
		return exit{exitProblem, fmt.Errorf("nothing was written, for the name of %s cannot be looked up: is it spelt right? --force writes it nevertheless", strings.Join(unknown, ", "))}
	}
	if err := s.write(text, old); err != nil {
		return exit{exitProblem, err}
	}
	s.sayNext(ctx, cfg)
	if !fine {
		return exit{status: exitProblem}
	}
	return nil
}

// ask asks for the domain and its hosts, until what is said will do.
func (s *setup) ask() error {
	if !s.canAsk {
		return usage("there is no terminal to ask at: say --domain NAME, and --host HOST for each of its mail hosts")
	}
	for len(s.domains) == 0 {
		name, err := s.asker.line("The domain whose mailboxes are on many hosts:")
		if err != nil {
			return exit{exitProblem, err}
		}
		if _, err := policy.NormalDomain(name); err != nil {
			complain(s.err, "%v", err)
			continue
		}
		s.domains = []string{name}
	}
	for len(s.hosts) == 0 {
		text, err := s.asker.line("Its mail hosts, NAME or NAME:PORT, the preferred one first (nothing: its MX hosts):")
		if err != nil {
			return exit{exitProblem, err}
		}
		s.hosts = strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
		_, _, err = s.compose("")
		if err == nil {
			return nil
		}
		complain(s.err, "%v", err)
		s.hosts = nil
	}
	return nil
}

// compose returns the file that old becomes, and what it means.
func (s *setup) compose(old string) (string, *config.Config, error) {
	for _, name := range slices.Concat(s.domains, s.hosts) {
		if strings.ContainsAny(name, "\"\\") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", nil, fmt.Errorf("%q is no name", name)
		}
	}
	if n, err := config.Domains(old); err != nil {
		old = "" // it is of no use; --force was said, and a copy is kept
	} else if n > 0 {
		old = config.WithoutDomains(old, s.hosts)
	}
	text := config.WithDomain(old, s.domains, s.hosts)
	cfg, err := config.Parse(s.file, text)
	return text, cfg, err
}

// groupOfDaemon may read the configuration, which may name files with secrets.
const groupOfDaemon = "postwhere"

// write puts the file in place, as a whole, for root and the daemon alone, and keeps a
// copy of one that was edited.
func (s *setup) write(text string, old []byte) error {
	if config.HasDomain(old) {
		copied := s.file + "." + time.Now().Format("2006-01-02T15:04:05")
		if err := replaceFile(copied, string(old)); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(s.out, "%s is what it was.\n", copied)
	}
	if err := os.MkdirAll(filepath.Dir(s.file), 0o755); err != nil { //nolint:gosec // as /etc has it; the file is closed
		return err
	}
	return replaceFile(s.file, text)
}

// replaceFile writes a file by rename, with mode 0640 and the daemon's group if there
// is one.
func replaceFile(file, text string) error {
	if at, err := filepath.EvalSymlinks(file); err == nil {
		file = at
	}
	f, err := renameio.NewPendingFile(file, renameio.IgnoreUmask(), renameio.WithPermissions(0o640))
	if err != nil {
		return err
	}
	defer f.Cleanup() //nolint:errcheck // nothing to be done about it
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	uid, gid := -1, -1
	if info, err := os.Stat(file); err == nil {
		if of, ok := info.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(of.Uid), int(of.Gid)
		}
	}
	if g, err := user.LookupGroup(groupOfDaemon); err == nil {
		if n, err := strconv.Atoi(g.Gid); err == nil {
			gid = n
		}
	}
	if os.Geteuid() == 0 {
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
	}
	return f.CloseAtomicallyReplace()
}

// sayNext says what comes next.
func (s *setup) sayNext(ctx context.Context, cfg *config.Config) {
	self := "postwhere"
	if s.file != config.DefaultFile {
		self += " -c " + s.file
	}
	start := self + " serve"
	switch {
	case s.isRunning(ctx, cfg):
		start = self + " reload"
	case s.file == config.DefaultFile && hasUnit(ctx):
		start = "systemctl enable --now postwhere"
	}
	_, _ = fmt.Fprintf(s.out, "%s is written. Next, as root:\n  %s\n  %s postfix --apply\n  %s check\n", s.file, start, self, self)
}

// isRunning tells whether a daemon runs by the file.
func (s *setup) isRunning(ctx context.Context, cfg *config.Config) bool {
	client := control.NewClient(cfg)
	if client == nil {
		return false
	}
	defer client.Close()
	at, err := client.Standing(ctx)
	file, _ := filepath.Abs(s.file)
	return err == nil && at.File == file
}

// hasUnit tells whether systemd runs and knows the daemon's unit, which a package brings.
func hasUnit(ctx context.Context) bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil && exec.CommandContext(ctx, "systemctl", "cat", "postwhere.service").Run() == nil
}
