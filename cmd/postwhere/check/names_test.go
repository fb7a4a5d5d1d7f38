package check

import "testing"

func TestNamesOfTheHostsFileAreFound(t *testing.T) {
	t.Parallel()
	const text = "127.0.0.1 localhost\n\n192.0.2.1\tMail1.example.net mail1 # mail9\n#192.0.2.2 mail2\n192.0.2.3 mail3"
	for name, want := range map[string]bool{
		"mail1": true, "mail1.example.net": true, "MAIL3": true, "localhost": true,
		"mail2": false, "mail9": false, "192.0.2.1": false, "#": false, "mail": false, "": false,
	} {
		if got := namedIn(text, name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}
