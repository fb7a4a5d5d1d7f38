package tcptable

import (
	"strings"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy/server/servertest"
)

// TestPostmap asks with Postfix's own client.
func TestPostmap(t *testing.T) {
	realhost.Need(t, "postmap")
	at := make(map[string]string)
	for _, name := range []string{"transport", "recipient", "alias", "domain"} {
		at[name] = "tcp:" + servertest.Start(t, "tcp", exchange(t, name)).String()
	}
	t.Run("tables", func(t *testing.T) {
		for _, row := range []struct {
			table, key, value string
			failure           bool
		}{
			{"transport", "Anna+Ext@Example.COM", "smtp:[192.0.2.1]:25", false},
			{"transport", "nobody@example.com", "error:5.1.1 User unknown", false},
			{"transport", "later@example.com", "retry:4.4.1 Try again", false},
			{"transport", "x@elsewhere.example", "", false},
			{"transport", "*", "", false},
			{"transport", "", "", false},
			{"transport", "fault@example.com", "", true},
			{"recipient", "anna@example.com", "mail1", false},
			{"recipient", "nobody@example.com", "", false},
			{"recipient", "later@example.com", "", true},
			{"alias", "Anna+Ext@Example.COM", "Anna+Ext@mail1.invalid", false},
			{"alias", `"a b"@example.com`, `"a b"@mail1.invalid`, false},
			{"alias", "a b@example.com", `"a b"@mail1.invalid`, false},
			{"alias", "ünna@example.com", "ünna@mail1.invalid", false},
			{"alias", "100%25@example.com", "100%25@mail1.invalid", false},
			{"domain", "example.com", "example.com", false},
			{"domain", ".example.com", "", false},
		} {
			t.Run(row.table+" "+row.key, func(t *testing.T) {
				t.Parallel() // postmap sleeps for a second before it reports an error
				value, warnings, status := servertest.Postmap(t, row.key, at[row.table])
				if value != row.value || (status == 0) != (row.value != "") {
					t.Errorf("%q, status %d, want %q", value, status, row.value)
				}
				// dict_tcp.c does not log a 400; postmap does.
				if strings.Contains(warnings, "query error") != row.failure || (warnings != "") != row.failure {
					t.Errorf("warnings %q", warnings)
				}
			})
		}
	})
}
