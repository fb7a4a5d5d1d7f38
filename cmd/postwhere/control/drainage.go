package control

import (
	"fmt"
	"strings"
	"time"
)

// Drainage is what draining a host, or ending that, has come to. It travels as JSON.
type Drainage struct {
	Host    string    `json:"host"`
	Drained bool      `json:"drained"` // it is now
	Changed bool      `json:"changed"`
	Since   time.Time `json:"since"` // drained
	Then    []string  `json:"then"`  // what becomes of recipients, for each domain
}

// String is for who has done it.
func (o Drainage) String() string {
	switch {
	case o.Drained && o.Changed:
		return fmt.Sprintf("%s: drained. It is not asked, and unsure, until `postwhere undrain %s` or a new start of the daemon; a reload leaves it drained. %s",
			o.Host, o.Host, strings.Join(o.Then, "; "))
	case o.Drained:
		return fmt.Sprintf("%s: was drained already, since %s", o.Host, o.Since.Local().Format(time.DateTime))
	case o.Changed:
		return o.Host + ": is asked again"
	}
	return o.Host + ": was not drained"
}
