package postfix

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What --apply has made of a Postfix, in two ways, one of which has an inner door.
var (
	untouched = map[string]string{"main.cf": "a = 1\n", "master.cf": "smtp inet n - n - - smtpd\n", "moving.regexp": ""}
	oneWay    = map[string]string{
		"main.cf": "a = 1\nsmtpd_milters = ours\ntransport_maps = ours\n", "moving.regexp": "",
		"master.cf": "smtp inet n - n - - smtpd -o rewrite_service_name=rewrite-door\nrewrite-door unix - - n - - trivial-rewrite\n",
	}
	otherWay = map[string]string{
		"main.cf":       "a = 1\nsmtpd_recipient_restrictions = ours\ntransport_maps = ours\nmesh_client_restrictions = peers\n",
		"master.cf":     "smtp inet n - n - - smtpd\nmesh inet n - n - - smtpd -o smtpd_client_restrictions=$mesh_client_restrictions\nmoving unix - - n - - smtp -o smtp_reply_filter=regexp:moving.regexp\n",
		"moving.regexp": "/x/ y\n",
	}
)

// Whatever ends a change in between, each state of the files is one that Postfix can
// work with, and --undo leads back to where all began.
func TestChangeThatIsKilledInBetween(t *testing.T) {
	t.Parallel()
	for _, from := range []map[string]string{untouched, oneWay, otherWay} {
		for _, to := range []map[string]string{untouched, oneWay, otherWay} {
			steps := inOrder(from, to)
			for done := range len(steps) + 1 {
				dir := t.TempDir()
				for name, text := range from {
					put(t, dir, name, text)
				}
				if !maps.Equal(from, untouched) {
					record := record{before: untouched, after: from}
					if err := record.write(dir); err != nil {
						t.Fatal(err)
					}
				}
				if !maps.Equal(to, untouched) {
					record := record{before: untouched, after: to}
					if err := record.write(dir); err != nil {
						t.Fatal(err)
					}
				}
				is := maps.Clone(from)
				for _, name := range steps[:done] {
					put(t, dir, name, to[name])
					is[name] = to[name]
				}
				refersToWhatIsThere(t, is)
				c, err := Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				missed, err := c.TakeBack()
				if err != nil || len(missed) > 0 {
					t.Errorf("missed %v, %v", missed, err)
				}
				if got, err := c.then(); err != nil || got["main.cf"] != untouched["main.cf"] || got["master.cf"] != untouched["master.cf"] || got["moving.regexp"] != "" {
					t.Errorf("killed after %d of %v, it is taken back to %q, %v", done, steps, got, err)
				}
				c.Close()
			}
		}
	}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	err := os.WriteFile(path, []byte(text), 0o600)
	if text == "" {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refersToWhatIsThere wants that no file refers to what is not there.
func refersToWhatIsThere(t *testing.T, is map[string]string) {
	t.Helper()
	main, master := entriesOf(is["main.cf"], parameterOf), entriesOf(is["master.cf"], serviceOf)
	for _, e := range master {
		words := Words(e.text)
		if slices.Contains(words, "smtpd_client_restrictions=$mesh_client_restrictions") && find(main, "mesh_client_restrictions") < 0 {
			t.Errorf("the inner door lets everybody in: %q", is)
		}
		if slices.Contains(words, "rewrite_service_name=rewrite-door") && find(master, "rewrite-door/unix") < 0 ||
			slices.Contains(words, "smtp_reply_filter=regexp:moving.regexp") && is["moving.regexp"] == "" {
			t.Errorf("%q refers to what is not there: %q", e.text, is)
		}
	}
}
