// Package tcptable is the face that tcp: tables ask: lines over a stream
// (tcp_table(5), src/util/dict_tcp.c). The protocol does not name the table, so
// that each listener offers one of the maps of package table.
//
// Where there is a choice, socketmap is the better one: when its server is away,
// a tcp: table tries ten times, a second apart, and all wait who ask the same
// process of Postfix's.
package tcptable

import (
	"bufio"
	"bytes"
	"context"
	"fmt"

	"postwhere/policy/server"
	"postwhere/policy/table"
)

const (
	// maxKey is how long a key may be: as for a socketmap, since this protocol
	// has no limit of its own.
	maxKey = 10_000
	// maxLine is a request with such a key, each octet encoded.
	maxLine = len("get ") + len("%XX")*maxKey
	// maxReply is DICT_TCP_MAXLEN of dict_tcp.c: octets of a reply with its
	// newline.
	maxReply = 4096
)

// The replies' codes. Postfix looks at the first digit.
const (
	codeFound    = "200 "
	codeTemp     = "400 " // Postfix closes the connection too
	codeNotFound = "500 "
)

// Maps answers look-ups; see table.Maps.
type Maps interface {
	Lookup(ctx context.Context, q table.Query) (table.Result, error)
}

// Exchange returns the function that answers look-ups in the map of that name,
// for a server.Server. The error wraps table.ErrUnknownMap.
func Exchange(m Maps, name string) (server.Exchange, error) {
	if err := table.CheckMap(name); err != nil {
		return nil, fmt.Errorf("tcp table: %w", err)
	}
	return func(ctx context.Context, r *bufio.Reader, w *bufio.Writer) error {
		line, err := server.ReadLine(r, maxLine)
		if err != nil {
			return fmt.Errorf("tcp table request: %w", err)
		}
		answer, err := respond(ctx, m, name, line)
		if err != nil {
			return fmt.Errorf("tcp table request: %w", err)
		}
		_, err = w.WriteString(answer)
		return err
	}, nil
}

// respond returns the reply to a request. What is neither of the two commands is
// not answered: 500 would say that there is no such mailbox.
func respond(ctx context.Context, m Maps, name string, line []byte) (string, error) {
	command, parameters, ok := bytes.Cut(line, []byte{' '})
	switch {
	case ok && string(command) == "get":
		return get(ctx, m, name, parameters)
	case ok && string(command) == "put":
		// 500 says "rejected" here. dict_tcp.c describes the command; Postfix has
		// never sent it.
		return reply(codeNotFound, "put is not implemented"), nil
	}
	return "", fmt.Errorf("%w: want get, got %.80q", server.ErrMalformed, line)
}

// get returns the reply to a look-up.
func get(ctx context.Context, m Maps, name string, coded []byte) (string, error) {
	key, err := unquote(coded)
	if err != nil {
		return "", err
	}
	result, err := m.Lookup(ctx, table.Query{Face: "tcp", Map: name, Key: key})
	switch {
	case err != nil:
		return "", err
	case result.Status == table.Found:
		return reply(codeFound, result.Text), nil
	case result.Status == table.NotFound:
		return reply(codeNotFound, "not found"), nil
	}
	return reply(codeTemp, result.Text), nil
}

// reply returns a reply as a line.
func reply(code, text string) string {
	line := code + quote(text) + "\n"
	if len(line) > maxReply {
		return reply(codeTemp, "reply too long")
	}
	return line
}
