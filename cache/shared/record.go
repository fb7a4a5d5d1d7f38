package shared

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// version is that of the records. One of another version is not there.
const version = "1"

// record is what is known of an address: its owner, or that it was denied. As text it
// is the version, the time in microseconds since 1970 by the server's clock, and an
// object, with blanks between: the first two are what a script compares.
type record struct {
	at    time.Time // when the host was asked, by the server's clock
	owner policy.Answer
	gone  bool // its owner has denied it
	// endpoint is how the owner is reached; see Config.
	endpoint string
}

// object is the last part of a record. Host is empty where the address was denied.
type object struct {
	Host     string `json:"host,omitempty"`
	Weak     bool   `json:"weak,omitempty"`
	Code     int    `json:"code,omitempty"`
	Enhanced string `json:"enhanced,omitempty"`
	Method   string `json:"method,omitempty"`
	Took     int64  `json:"took_ms,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
}

// maxRecord is longer than any record that we write.
const maxRecord = 4096

// String returns the record as it is stored.
func (r record) String() string {
	return version + " " + strconv.FormatInt(r.at.UnixMicro(), 10) + " " + r.object()
}

// object returns the last part of it.
func (r record) object() string {
	var o object
	if a := r.owner; !r.gone {
		o = object{a.Host, a.Weak, a.Reply.Code, a.Reply.Enhanced, a.Method, a.Took.Milliseconds(), r.endpoint}
	}
	text, err := json.Marshal(o)
	if err != nil { // there is nothing in it that could not be said
		return ""
	}
	return string(text)
}

// parseRecord reads a record; false: it is of another version, or none.
func parseRecord(text string) (r record, ok bool) {
	if len(text) > maxRecord {
		return record{}, false
	}
	parts := strings.SplitN(text, " ", 3)
	if len(parts) != 3 || parts[0] != version {
		return record{}, false
	}
	at, err := strconv.ParseInt(parts[1], 10, 64)
	var o object
	if err != nil || at <= 0 || json.Unmarshal([]byte(parts[2]), &o) != nil {
		return record{}, false
	}
	r.at = time.UnixMicro(at)
	if o.Host == "" {
		r.gone = true
		return r, true
	}
	if !strings.Contains(parts[2], hostText(o.Host)) {
		return record{}, false // a purge would not find it
	}
	r.endpoint = o.Endpoint
	r.owner = policy.Answer{
		Host: o.Host, Says: policy.Yes, Weak: o.Weak, Method: o.Method, At: r.at,
		Reply: policy.Reply{Code: o.Code, Enhanced: o.Enhanced},
		Took:  time.Duration(o.Took) * time.Millisecond,
	}
	return r, true
}

// key returns what an address is stored under.
func (l *Link) key(n cache.Name) string { return l.cfg.Prefix + "address:" + n.Local + "@" + n.Domain }

// nameOf returns the name under which a mailbox is remembered.
func nameOf(a policy.Address) cache.Name {
	return cache.Name{Local: strings.ToLower(a.Local()), Domain: a.Domain()}
}

// parseName reads LOCAL@DOMAIN.
func parseName(text string) (cache.Name, bool) {
	at := strings.LastIndexByte(text, '@')
	if at < 1 || at == len(text)-1 || len(text) > maxRecord {
		return cache.Name{}, false
	}
	return cache.Name{Local: text[:at], Domain: text[at+1:]}, true
}
