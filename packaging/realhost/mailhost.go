package realhost

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailOwner owns the mailboxes of each [Host] but Exim's, and the processes of
// OpenSMTPD. It has no other use.
const mailOwner = "nobody"

// mailboxTable is the name of the file that says who has a mailbox.
const mailboxTable = "mailboxes"

// Host is a server that has mailboxes: it knows who is in its domains, by RCPT
// and most by VRFY, and delivers into Maildirs.
type Host struct {
	*Server

	tell func(t testing.TB, mailboxes []string) // lets the server know them

	mu    sync.Mutex
	boxes map[string]bool // by address in lower case
}

// newHost returns a host with mailboxes that has no server yet.
func newHost(mailboxes []string) *Host {
	h := &Host{boxes: make(map[string]bool)}
	for _, address := range mailboxes {
		h.boxes[strings.ToLower(address)] = true
	}
	return h
}

// MailHost starts a Postfix as it comes that has the domains (one, or several
// with blanks between) and the mailboxes, given by address. The client of the
// tests is a stranger to it: mynetworks is empty.
//
// Each session has a process of its own (see [Host.AddMailbox]), which takes
// some 5 ms to start. A test that counts connections a second and changes no
// mailbox may give the SMTP service the option "max_use=100", as it is by
// default elsewhere.
func MailHost(t testing.TB, domains string, mailboxes ...string) *Host {
	t.Helper()
	return PostfixConfig{}.MailHost(t, domains, mailboxes...)
}

// MailHost is [MailHost] with a configuration, in which parameters go before
// those that make a mail host.
func (cfg PostfixConfig) MailHost(t testing.TB, domains string, mailboxes ...string) *Host {
	t.Helper()
	Need(t, "postfix")
	uid, gid := ids(t, mailOwner)
	main := map[string]string{
		"mynetworks":              "",
		"virtual_mailbox_domains": domains,
		"virtual_mailbox_maps":    "texthash:$config_directory/" + mailboxTable,
		"virtual_mailbox_base":    "$config_directory/../mail",
		"virtual_minimum_uid":     fmt.Sprint(uid),
		"virtual_uid_maps":        fmt.Sprintf("static:%d", uid),
		"virtual_gid_maps":        fmt.Sprintf("static:%d", gid),
	}
	maps.Copy(main, cfg.Main)
	cfg.Main = main

	h := newHost(mailboxes)
	h.tell = func(t testing.TB, mailboxes []string) {
		t.Helper()
		h.WriteFile(t, mailboxTable, postfixTable(mailboxes))
	}
	files := map[string]string{mailboxTable: postfixTable(h.mailboxes())}
	maps.Copy(files, cfg.Files)
	cfg.Files = files

	h.Server = Postfix(t, cfg.oneUse())
	mkdir(t, filepath.Join(h.dir, "mail"), uid, gid, 0o700)
	return h
}

// oneUse returns the configuration with processes that serve one session, or
// one delivery, each. They read the table of mailboxes when they start and never
// again.
func (cfg PostfixConfig) oneUse() PostfixConfig {
	smtp := slices.Clone(cfg.SMTP)
	if len(smtp) == 0 {
		smtp = []SMTPService{{}}
	}
	for i := range smtp {
		smtp[i].Options = append([]string{"max_use=1"}, smtp[i].Options...)
	}
	cfg.SMTP = smtp
	cfg.Master = append([]string{"virtual unix - n n - - virtual -o max_use=1"}, cfg.Master...)
	return cfg
}

// AddMailbox adds a mailbox. Each SMTP session that begins after AddMailbox has
// returned finds it. One that is open goes on with the mailboxes it began with
// at a Postfix, as with any indexed tables, and may do so elsewhere: Stop and
// Start end it.
func (h *Host) AddMailbox(t testing.TB, address string) {
	t.Helper()
	h.set(t, address, true)
}

// RemoveMailbox removes a mailbox, for the sessions [Host.AddMailbox] speaks
// of. Its messages can still be read.
func (h *Host) RemoveMailbox(t testing.TB, address string) {
	t.Helper()
	h.set(t, address, false)
}

func (h *Host) set(t testing.TB, address string, exists bool) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if exists {
		h.boxes[strings.ToLower(address)] = true
	} else {
		delete(h.boxes, strings.ToLower(address))
	}
	h.tell(t, h.mailboxes())
}

func (h *Host) mailboxes() []string { return slices.Sorted(maps.Keys(h.boxes)) }

// postfixTable returns the mailboxes as a look-up table, see
// virtual_mailbox_maps in virtual(8). A local part that needs quotes has them in
// the table too, see postmap(1).
func postfixTable(mailboxes []string) string {
	var text strings.Builder
	for _, address := range mailboxes {
		fmt.Fprintf(&text, "%s %s/\n", address, maildir(address))
	}
	return text.String()
}

// maildir returns the name of the mailbox's directory, in which no byte of the
// address has a meaning for the file system, for a table or for a shell.
func maildir(address string) string { return url.QueryEscape(strings.ToLower(address)) }

// Messages returns the messages that were delivered to the mailbox, the oldest
// first, with all their header fields and lines that end in "\n".
func (h *Host) Messages(t testing.TB, mailbox string) []string {
	t.Helper()
	dir := filepath.Join(h.dir, "mail", maildir(mailbox), "new")
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	arrived := make(map[string]time.Time)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		arrived[entry.Name()] = info.ModTime()
	}
	// The names have the second only.
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int {
		return arrived[a.Name()].Compare(arrived[b.Name()])
	})
	var messages []string
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, string(text))
	}
	return messages
}

// WaitMessage waits until a message that contains the text is in the mailbox
// and returns the first such message.
func (h *Host) WaitMessage(t testing.TB, mailbox, text string) string {
	t.Helper()
	var message string
	found := poll(func() bool {
		messages := h.Messages(t, mailbox)
		i := slices.IndexFunc(messages, func(m string) bool { return strings.Contains(m, text) })
		if i >= 0 {
			message = messages[i]
		}
		return i >= 0
	})
	if !found {
		t.Fatalf("realhost: no message with %q for %s:\n%s", text, mailbox, h.Log())
	}
	return message
}
