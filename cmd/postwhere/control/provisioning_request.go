package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"postwhere/cmd/postwhere/maillog"
)

// Bounds of a request.
const (
	maxFlushBody      = 128 << 10
	maxFlushAddresses = 100 // more cost the other front ends more than their questions do
)

// refusal is an error that has an HTTP status, and a sentence for who asked.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// flushQuery returns what a request says is to be forgotten, in its query or in its
// body, as a form or as a JSON object. The error is a refusal. What the words mean is
// not looked at.
func flushQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	said, err := bodyOf(r)
	switch {
	case err != nil:
		return nil, err
	case len(query) > 0 && len(said) > 0:
		return nil, refuse(http.StatusBadRequest, "want what is to be flushed in the query or in the body, and not in both")
	case len(said) > 0:
		query = said
	}
	values := 0
	for name, all := range query {
		values += len(all)
		for _, text := range append(all, name) {
			if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
				return nil, refuse(http.StatusBadRequest, "%s is not UTF-8", maillog.Printable(name))
			}
		}
	}
	if values > maxFlushAddresses {
		return nil, refuse(http.StatusBadRequest, "want %d addresses at most, got %d", maxFlushAddresses, values)
	}
	return query, nil
}

// bodyOf returns what the body of a request says, nothing if it is empty.
func bodyOf(r *http.Request) (url.Values, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" {
		return nil, refuse(http.StatusUnsupportedMediaType, "want a body without Content-Encoding")
	}
	text, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "want a body of %d octets at most", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, "the body does not come")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body cannot be read: %v", err)
	case len(text) == 0:
		return nil, nil
	}
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := parameters["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		kind = ""
	}
	var said url.Values
	switch kind {
	case "application/x-www-form-urlencoded":
		said, err = url.ParseQuery(string(text))
	case "application/json":
		said, err = objectOf(string(text))
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "want a body of type application/json or application/x-www-form-urlencoded, in UTF-8")
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body cannot be read: %v", err)
	}
	return said, nil
}

// objectOf reads a JSON object of which each value is a text, a list of texts, or true.
func objectOf(text string) (url.Values, error) {
	if !utf8.ValidString(text) { // which the decoder would mend
		return nil, errors.New("it is not UTF-8")
	}
	in := json.NewDecoder(strings.NewReader(text))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	said := make(url.Values)
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return nil, err
		}
		key, _ := name.(string) // in an object it is
		if said.Has(key) {
			return nil, fmt.Errorf("%s is there twice", maillog.Printable(key))
		}
		var value any
		if err := in.Decode(&value); err != nil {
			return nil, err
		}
		if said[key], err = textsOf(value); err != nil {
			return nil, fmt.Errorf("%s: %w", maillog.Printable(key), err)
		}
	}
	if _, err := in.Token(); err != nil {
		return nil, err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one JSON object, and nothing behind it")
	}
	return said, nil
}

// textsOf returns a value of the object as that of a form; true is no text.
func textsOf(value any) ([]string, error) {
	wrong := errors.New("want text, a list of texts, or true")
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case bool:
		if v {
			return []string{""}, nil
		}
	case []any:
		var all []string
		for _, element := range v {
			text, is := element.(string)
			if !is {
				return nil, wrong
			}
			all = append(all, text)
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	return nil, wrong
}
