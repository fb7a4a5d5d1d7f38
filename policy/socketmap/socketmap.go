// Package socketmap is the face that socketmap: tables ask: netstrings over a
// stream (socketmap_table(5), src/util/dict_sockmap.c), which is also what
// Sendmail's maps of class socket speak (socket_map_lookup in its map.c). One
// listener offers all of the maps, by their names in package table.
package socketmap

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"postwhere/policy/server"
	"postwhere/policy/table"
)

// Limits of the protocol, as Postfix's client has them (dict_sockmap.c).
const (
	maxKey     = 10_000 // DICT_SOCKMAP_DEF_MAX_QUERY: octets of the key, without the map's name
	maxName    = 100    // ours: of the map's name
	maxRequest = maxName + len(" ") + maxKey
	maxReply   = 100_000 // DICT_SOCKMAP_DEF_MAX_REPLY
)

// Maps answers look-ups; see table.Maps.
type Maps interface {
	Lookup(ctx context.Context, q table.Query) (table.Result, error)
}

// Exchange returns the function that answers look-ups, for a server.Server.
func Exchange(m Maps) server.Exchange {
	return func(ctx context.Context, r *bufio.Reader, w *bufio.Writer) error {
		request, err := readNetstring(r, maxRequest)
		if err != nil {
			return fmt.Errorf("socketmap request: %w", err)
		}
		name, key, ok := strings.Cut(request, " ")
		if !ok {
			return fmt.Errorf("socketmap request: %w", malformed("want name, blank, key, got %.80q", request))
		}
		result, err := m.Lookup(ctx, table.Query{Face: "socketmap", Map: name, Key: key})
		_, err = w.WriteString(netstring(reply(result, err)))
		return err
	}
}

// reply returns the text of a reply. PERM, of a map that there is none of, would
// be to Postfix no more than TEMP, and to Sendmail the same as NOTFOUND: mail for a
// mailbox that exists would go to its domain's MX. So it is not said; nor is
// TIMEOUT, which is TEMP to both.
func reply(r table.Result, err error) string {
	var text string
	switch {
	case err != nil:
		text = "TEMP " + server.OneLine(err.Error(), 200)
	case r.Status == table.Found:
		text = "OK " + r.Text
	case r.Status == table.NotFound:
		text = "NOTFOUND "
	default:
		text = "TEMP " + r.Text
	}
	if len(text) > maxReply {
		return "TEMP reply too long"
	}
	return text
}
