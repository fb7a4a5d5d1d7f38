package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postwhere/policy/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPatience is how long a test waits for what takes no time unless it is broken.
const testPatience = 30 * time.Second

// What Postfix 3.7 and Sendmail 8.17 offer, and Postfix with milter_protocol = 2.
const (
	allActions  = 0x1ff
	allProtocol = 0x1fffff
	oldProtocol = 0x7f
)

// mta is an MTA that says whatever a test wants, octet by octet.
type mta struct {
	t    testing.TB
	conn net.Conn
}

// frame is a command with its data, or a reply.
func frame(cmd byte, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))) + string(cmd) + data
}

func (m *mta) send(frames ...string) {
	m.t.Helper()
	if _, err := io.WriteString(m.conn, strings.Join(frames, "")); err != nil {
		m.t.Fatal(err)
	}
}

// read returns the next reply, "" if the connection was closed.
func (m *mta) read() string {
	m.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(m.conn, head[:]); err != nil {
		return ""
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(m.conn, body); err != nil {
		m.t.Fatal(err)
	}
	return string(body)
}

func (m *mta) wants(want string) {
	m.t.Helper()
	if got := m.read(); got != want {
		m.t.Errorf("reply %q, want %q", got, want)
	}
}

// offer is the negotiation's frame.
func offer(version, actions, protocol uint32) string {
	var b []byte
	for _, v := range []uint32{version, actions, protocol} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return frame('O', string(b))
}

// negotiate begins a connection, and returns the numbers and macros of the reply.
func (m *mta) negotiate(version, actions, protocol uint32) (numbers [3]uint32, macros string) {
	m.t.Helper()
	m.send(offer(version, actions, protocol))
	got := m.read()
	if len(got) < 13 || got[0] != 'O' {
		m.t.Fatalf("negotiation: %q", got)
	}
	for i := range numbers {
		numbers[i] = binary.BigEndian.Uint32([]byte(got[1+4*i:]))
	}
	return numbers, got[13:]
}

// connect is what a client's first frame looks like; port 0x1f90 is 8080.
const (
	outside = "client.example\x004\x1f\x90192.0.2.7\x00"
	inside  = "localhost\x004\x00\x00127.0.0.1\x00"
)

// macros is a frame of macros for a command.
func macros(cmd byte, pairs ...string) string {
	data := string(cmd)
	for _, s := range pairs {
		data += s + "\x00"
	}
	return frame('D', data)
}

// rcptOf is a recipient as smtpd(8) sends it.
func rcptOf(word string) string {
	return macros('R', "i", "4Zx", "{rcpt_mailer}", "relay", "{rcpt_addr}", strings.ToLower(strings.Trim(word, "<>"))) + frame('R', word+"\x00")
}

// journal is a log that tests read.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// wait waits until the log has a text.
func (j *journal) wait(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(testPatience); !strings.Contains(j.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log has no %q:\n%s", text, j)
		}
	}
}

// startServer serves on a listener of its own until the test ends.
func startServer(tb testing.TB, network string, s Searcher, opt Options) net.Addr {
	tb.Helper()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(tb.TempDir(), "s")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		tb.Fatal(err)
	}
	m := New(s, opt)
	served := make(chan error, 1)
	go func() { served <- m.Serve(l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if err := m.Shutdown(ctx); err != nil {
			tb.Error("shutdown:", err)
		}
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			tb.Error("serve:", err)
		}
	})
	return l.Addr()
}

func dialMTA(tb testing.TB, addr net.Addr) *mta {
	tb.Helper()
	return &mta{tb, servertest.Dial(tb, addr)}
}

// inMessage returns an MTA in a session of a client's, in a message.
func inMessage(t testing.TB, addr net.Addr) *mta {
	t.Helper()
	m := dialMTA(t, addr)
	m.negotiate(6, allActions, allProtocol)
	m.send(frame('C', outside), frame('H', "client.example\x00"), frame('M', "<s@src.example>\x00"))
	return m
}

// replies are what servertest's searcher makes of its addresses.
const (
	goOn       = "c"
	rejectSays = "y550 5.1.1 User unknown\x00"
	deferSays  = "y450 4.4.1 Try again\x00"
	faultSays  = "y451 4.3.0 Temporary fault, try again later\x00"
)
