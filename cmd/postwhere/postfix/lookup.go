package postfix

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Has tells whether a list of Postfix's has the domain, in a table too.
func Has(ctx context.Context, list, domain string) bool {
	return slices.ContainsFunc(Words(list), func(w string) bool {
		return strings.EqualFold(w, domain) || isTable(w) && inTable(ctx, w, domain)
	})
}

// isTable tells whether a word of a list is TYPE:NAME.
func isTable(word string) bool {
	kind, name, ok := strings.Cut(word, ":")
	return ok && kind != "" && name != "" && !strings.ContainsAny(kind, "[]./")
}

// inTable tells whether a table of Postfix's has the key. What cannot be looked up is
// taken for not there.
func inTable(ctx context.Context, table, key string) bool {
	path, err := Program("postmap")
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, path, "-q", key, table).Run() == nil //nolint:gosec // the administrator's own tables
}
