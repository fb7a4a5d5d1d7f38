package delegation

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"postwhere/policy"
	"postwhere/policy/server"
)

// Limits of a request. Postfix has none of its own (src/util/attr_scan_plain.c);
// what it sends comes from SMTP command lines of at most line_length_limit
// (2048), SASL responses of at most smtpd_sasl_response_limit (12288), and
// certificates, xtext-encoded. These leave room: a request that we refuse delays
// a mail.
const (
	maxLine       = 16 << 10 // octets, without the line's end
	maxRequest    = 64 << 10 // octets
	maxAttributes = 200      // Postfix 3.12 sends 35
)

// accessPolicy is the only kind of request that there is.
const accessPolicy = "smtpd_access_policy"

// Request is what matters of a policy request; an attribute that was not sent is
// empty (SMTPD_POLICY_README, "Protocol description").
type Request struct {
	State     string // protocol_state: RCPT, VRFY, DATA, …
	Recipient string // unquoted, in the client's spelling
	QueueID   string // none at the first recipient
	Client    string // client_address
	Helo      string // helo_name
	User      string // sasl_username
	Sender    string // unquoted; policy.NullSender where it was sent empty
}

// ReadRequest reads a request: lines of name=value, ended by an empty line. The
// error wraps server.ErrMalformed if it is none, and io.EOF if there was nothing
// to read.
//
// Attributes that we do not know are ignored, and of several of the same name
// the last counts: the manual has it so, and leaves the choice between the first
// and the last to the server.
func ReadRequest(r *bufio.Reader) (Request, error) {
	var q Request
	var kind string
	size := 0
	for n := 0; ; n++ {
		line, err := server.ReadLine(r, maxLine)
		if errors.Is(err, io.EOF) && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return Request{}, fmt.Errorf("policy request: %w", err)
		}
		if len(line) == 0 {
			break
		}
		if size += len(line); size > maxRequest || n >= maxAttributes {
			return Request{}, malformed("more than %d octets or %d attributes", maxRequest, maxAttributes)
		}
		name, value, ok := bytes.Cut(line, []byte{'='})
		if !ok || len(name) == 0 || bytes.IndexByte(line, 0) >= 0 {
			return Request{}, malformed("want name=value, got %.80q", line)
		}
		switch string(name) {
		case "request":
			kind = string(value)
		case "protocol_state":
			q.State = string(value)
		case "recipient":
			q.Recipient = string(value)
		case "queue_id":
			q.QueueID = string(value)
		case "client_address":
			q.Client = string(value)
		case "helo_name":
			q.Helo = string(value)
		case "sasl_username":
			q.User = string(value)
		case "sender":
			q.Sender = cmp.Or(string(value), policy.NullSender)
		}
	}
	if kind != accessPolicy {
		return Request{}, malformed("want request=%s, got %.80q", accessPolicy, kind)
	}
	return q, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("policy request: %w: %s", server.ErrMalformed, fmt.Sprintf(format, args...))
}
