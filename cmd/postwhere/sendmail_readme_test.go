package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The step of the README that writes what Sendmail includes leaves the old file there
// when there is no new one.
func TestSendmailStepOfTheREADMELosesNothing(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	step := regexp.MustCompile(`(?m)^postwhere sendmail >.*$`).FindString(string(readme))
	if step == "" {
		t.Fatal("the README has no such step")
	}
	dir := t.TempDir()
	step = strings.NewReplacer("postwhere sendmail", "postwhere -c "+dir+"/postwhere.toml sendmail", "/etc/mail", dir).Replace(step)
	for text, want := range map[string]bool{"[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n": true, "[[domain]]\n": false} {
		for name, text := range map[string]string{"postwhere.toml": text, "postwhere.m4": "old"} {
			if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("sh", "-c", step).CombinedOutput()
		written, _ := os.ReadFile(dir + "/postwhere.m4")
		if wrote := strings.Contains(string(written), "RELAY_DOMAIN(`example.com')dnl"); (err == nil) != want || wrote != want || !want && string(written) != "old" {
			t.Errorf("%q: %v, %s: %q", text, err, out, written)
		}
	}
}
