package socketmap

import (
	"strings"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy/server/servertest"
)

// TestPostmap asks with Postfix's own client.
func TestPostmap(t *testing.T) {
	realhost.Need(t, "postmap")
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := servertest.Start(t, network, Exchange(maps()))
			at := "socketmap:" + strings.Replace(network, "tcp", "inet", 1) + ":" + addr.String() + ":"
			for _, row := range []struct {
				table, key, value, warning string
			}{
				{"transport", "Anna+Ext@Example.COM", "smtp:[192.0.2.1]:25", ""},
				{"transport", "nobody@example.com", "error:5.1.1 User unknown", ""},
				{"transport", "later@example.com", "retry:4.4.1 Try again", ""},
				{"transport", "x@elsewhere.example", "", ""},
				{"transport", "*", "", ""},
				{"transport", "", "", ""},
				{"transport", "fault@example.com", "", "socketmap server temporary error: internal error"},
				{"recipient", "anna@example.com", "mail1", ""},
				{"recipient", "nobody@example.com", "", ""},
				{"recipient", "later@example.com", "", "socketmap server temporary error: 4.4.1 Try again"},
				{"alias", "Anna+Ext@Example.COM", "Anna+Ext@mail1.invalid", ""},
				{"alias", `"a b"@example.com`, `"a b"@mail1.invalid`, ""},
				{"alias", "a b@example.com", `"a b"@mail1.invalid`, ""},
				{"alias", "ünna@example.com", "ünna@mail1.invalid", ""},
				{"alias", "100%25@example.com", "100%25@mail1.invalid", ""},
				{"domain", "example.com", "example.com", ""},
				{"domain", ".example.com", "", ""},
				{"nonesuch", "anna@example.com", "", "socketmap server temporary error: unknown map"},
			} {
				t.Run(row.table+" "+row.key, func(t *testing.T) {
					t.Parallel() // postmap sleeps for a second before it reports an error
					value, warnings, status := servertest.Postmap(t, row.key, at+row.table)
					if value != row.value || (status == 0) != (row.value != "") {
						t.Errorf("%q, status %d, want %q", value, status, row.value)
					}
					if !strings.Contains(warnings, row.warning) || row.warning == "" && warnings != "" {
						t.Errorf("warnings %q, want %q", warnings, row.warning)
					}
				})
			}
		})
	}
}
