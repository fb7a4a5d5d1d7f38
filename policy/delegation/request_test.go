package delegation

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"postwhere/policy/server"
)

// encode is the request's shortest form.
func (q Request) encode() string {
	sender := ""
	if q.Sender != "" {
		sender = "sender=" + q.Sender + "\n"
	}
	return fmt.Sprintf("request=%s\nprotocol_state=%s\nrecipient=%s\nqueue_id=%s\nclient_address=%s\nhelo_name=%s\nsasl_username=%s\n%s\n",
		accessPolicy, q.State, q.Recipient, q.QueueID, q.Client, q.Helo, q.User, sender)
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(rcpt("anna@example.com") + rcpt("nobody@example.com")))
	f.Add([]byte(strings.ReplaceAll(rcpt("anna@example.com"), "\n", "\r\n")))
	f.Add([]byte("request=smtpd_access_policy\nrecipient\n\n"))
	f.Add([]byte("request=smtpd_access_policy\nrecipient=a\x00\n\n"))
	f.Add([]byte("request=smtpd_access_policy\nrecipient=\xff\r\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		for {
			_, end := r.Peek(1)
			q, err := ReadRequest(r)
			if err != nil {
				if q != (Request{}) {
					t.Errorf("%+v with the error %v", q, err)
				}
				if !errors.Is(err, server.ErrMalformed) && !errors.Is(err, io.ErrUnexpectedEOF) && (!errors.Is(err, io.EOF) || end == nil) {
					t.Errorf("error %v", err)
				}
				return
			}
			// What was read means the same again, and one request is all of it.
			// A CR at the end of a value is the end of the line to us.
			again, err := ReadRequest(bufio.NewReader(strings.NewReader(q.encode())))
			if !endsInCR(q) && (err != nil || again != q) {
				t.Errorf("%+v became %+v, %v", q, again, err)
			}
		}
	})
}

func endsInCR(q Request) bool {
	for _, v := range []string{q.State, q.Recipient, q.QueueID, q.Client, q.Helo, q.User, q.Sender} {
		if strings.HasSuffix(v, "\r") {
			return true
		}
	}
	return false
}
