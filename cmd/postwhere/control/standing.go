package control

import (
	"errors"
	"time"
)

// ErrEnding is the answer to a reload that comes too late.
var ErrEnding = errors.New("the daemon is ending")

// Standing is which configuration the daemon runs by. It travels as JSON.
type Standing struct {
	File    string    `json:"file"`    // an absolute path
	Since   time.Time `json:"since"`   // it was read
	Refused time.Time `json:"refused"` // a reload after that was
	Why     string    `json:"why"`     // "": none was
}
