package control

import (
	"fmt"
	"time"
)

// MemoryStats is what memory has, and where it is kept.
type MemoryStats struct {
	Owners       int    `json:"owners"`
	MaxOwners    int    `json:"max_owners"`
	Strangers    int    `json:"strangers"`
	MaxStrangers int    `json:"max_strangers"`
	File         string `json:"file"`  // "": nothing is kept over a restart
	Bytes        int64  `json:"bytes"` // of the file
	Why          string `json:"why"`   // nothing is kept in it now, "": it is

	Shared        string `json:"shared"`         // the server, "": nothing is shared
	SharedWaiting int    `json:"shared_waiting"` // changes that the other front ends are yet to be told of
	SharedWhy     string `json:"shared_why"`     // it is away, or takes nothing, "": all is well
}

// Remembered is what is known of one address, as `postwhere cache dump` prints it:
// an object a line. The fields' names and order are fixed.
type Remembered struct {
	Address string         `json:"address"` // an owner's in lower case: he has all spellings
	Owner   string         `json:"owner"`   // its host; "" of a stranger
	Answers []StoredAnswer `json:"answers"`
}

// StoredAnswer is what a host said about a Remembered address.
type StoredAnswer struct {
	Host   string  `json:"host"`
	Answer string  `json:"answer"`
	Reply  string  `json:"reply"`
	Method string  `json:"method"`
	Age    float64 `json:"age"` // seconds
}

// String is for people.
func (s MemoryStats) String() string {
	kept := "nothing: [cache] file is empty"
	switch {
	case s.Why != "":
		kept = fmt.Sprintf("nothing in %s now: %s", s.File, s.Why)
	case s.File != "":
		kept = fmt.Sprintf("in %s, %d bytes", s.File, s.Bytes)
	}
	shared := "nothing: [cache] shared is empty"
	switch {
	case s.SharedWhy != "":
		shared = fmt.Sprintf("nothing through %s now, %d change(s) wait: %s", s.Shared, s.SharedWaiting, s.SharedWhy)
	case s.Shared != "":
		shared = fmt.Sprintf("through %s, %d change(s) wait", s.Shared, s.SharedWaiting)
	}
	return fmt.Sprintf("owners:    %d of %d\nstrangers: %d of %d\nkept:      %s\nshared:    %s\n", s.Owners, s.MaxOwners, s.Strangers, s.MaxStrangers, kept, shared)
}

// Flushed is what a flush has come to.
type Flushed struct {
	Owners    int    `json:"owners"`
	Strangers int    `json:"strangers"`
	Why       string `json:"why"`        // it is not in the file yet, "": it is
	Others    string `json:"others"`     // the other front ends are told, or will be told later, or there are none
	SharedWhy string `json:"shared_why"` // they do not know yet, "": they do
}

// What Flushed says of the other front ends.
const (
	OthersNone  = "none"
	OthersTold  = "told"
	OthersLater = "later"
)

// SyncWait is how long a flush waits for the file, and for the other front ends.
const SyncWait = 5 * time.Second
