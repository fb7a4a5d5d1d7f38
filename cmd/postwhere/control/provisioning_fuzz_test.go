package control

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzFlushQuery: no request makes the decoder panic; what it refuses is the client's
// fault and is said in a sentence, and what it returns is bounded, UTF-8, and read in
// the same way again.
func FuzzFlushQuery(f *testing.F) {
	for _, seed := range [][3]string{
		{"address=anna%40example.com&address=b@example.com", "", ""},
		{"", "application/json", `{"address":["a@example.com","b@example.com"]}`},
		{"all", "application/json; charset=utf-8", `{}`},
		{"", "application/x-www-form-urlencoded", "domain=example.com&strangers"},
		{"%zz;", "text/plain; charset", "x"},
		{"", "application/json", `{"all":true,"all":true} [`},
		{"", "application/json", `{"\ud800":"\u0000"}`},
		{"", "application/json", strings.Repeat(`{"a":[`, 20)},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, query, kind, body string) {
		said, err := flushQuery(&http.Request{
			URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {kind}},
			Body: http.MaxBytesReader(nil, io.NopCloser(strings.NewReader(body)), maxFlushBody),
		})
		var refused refusal
		if err != nil {
			if !errors.As(err, &refused) || refused.status/100 != 4 || refused.text == "" || said != nil {
				t.Errorf("%v, %v", said, err)
			}
			return
		}
		values := 0
		for name, all := range said {
			values += len(all)
			for _, text := range append(all, name) {
				if !utf8.ValidString(text) {
					t.Errorf("%q is not UTF-8", text)
				}
			}
		}
		if values > maxFlushAddresses {
			t.Errorf("%d values", values)
		}
		again, err := flushQuery(&http.Request{URL: &url.URL{RawQuery: said.Encode()}, Body: http.NoBody})
		if diff := cmp.Diff(said, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("read again: %v\n%s", err, diff)
		}
	})
}
