package attach

import (
	"context"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/maillog"
)

// Commands returns the commands that attach postwhere in one way to the Postfix
// in a configuration directory, "" for this machine's, as far as it is not. The
// error says what the configuration lacks for it.
func Commands(ctx context.Context, dir string, cfg *config.Config, way Way) (string, error) {
	conf, unread := Read(ctx, dir)
	if unread != nil {
		conf = freshPostfix()
	}
	todo, err := PlanFor(ctx, cfg, way, conf)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if unread != nil {
		b.WriteString("# For a Postfix as it comes, whose lists are empty: the one of this machine cannot be read: " + maillog.Printable(firstLine(unread.Error())) + "\n")
	}
	for _, text := range slices.Concat(todo.Hinders, todo.Minds) {
		b.WriteString("# Mind that " + text + ".\n")
	}
	if !todo.Changes() {
		b.WriteString("# There is nothing to do: Postfix is attached so.\n")
		return b.String(), nil
	}
	b.WriteString("# Run these as root, or say `postwhere postfix --apply`. Twice does no harm.\n")
	for _, e := range todo.Edits {
		b.WriteString(e.Shell())
	}
	b.WriteString("postfix reload\n")
	return b.String(), nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
