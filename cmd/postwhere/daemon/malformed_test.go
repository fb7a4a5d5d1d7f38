package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/testbed"
)

// everyFace is a daemon that serves all faces, by Unix sockets in dir.
func everyFace(t *testing.T) (dir string, d *Daemon, r *testbed.Recorder) {
	t.Helper()
	return everyFaceOf(t, testbed.StartHost(t, testbed.Having("anna@example.com")))
}

func everyFaceOf(t *testing.T, mail1 *testbed.Host) (dir string, d *Daemon, r *testbed.Recorder) {
	t.Helper()
	dir, err := os.MkdirTemp("", "postwhere") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d, r = startDaemon(t, fmt.Sprintf(`
[listen]
policy    = ["unix:%[1]s/policy"]
milter    = []
socketmap = ["unix:%[1]s/socketmap"]
control   = ["unix:%[1]s/control"]
[[listen.tcp_table]]
listen = "unix:%[1]s/tcp_table"
map    = "transport"
[[domain]]
name  = "example.com"
hosts = ["mail1"]
[host.mail1]
probe = %[2]q
`, dir, mail1.Address))
	return dir, d, r
}

func dialUnix(t *testing.T, path string) net.Conn {
	t.Helper()
	return testbed.Dial(t, "unix", path)
}

func dialTCP(t *testing.T, address string) net.Conn {
	t.Helper()
	return testbed.Dial(t, "tcp", address)
}

// faceTests are for each face a request and its reply, and what is none.
var faceTests = map[string]struct {
	request, reply string
	bad            map[string]string // what is sent -> what the log says of it; "": the client is told
}{
	"policy": {
		"request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=anna@example.com\n\n", "action=DUNNO\n\n",
		map[string]string{
			"GET / HTTP/1.0\r\n\r\n":               `want name=value, got \"GET / HTTP/1.0\"`,
			"recipient=anna@example.com\n\n":       `want request=smtpd_access_policy, got \"\"`,
			strings.Repeat("x", 20<<10):            "line longer than 16384 octets",
			strings.Repeat("a=b\n", 300):           "more than 65536 octets or 200 attributes",
			"request=smtpd_access_policy\x00=\n\n": "want name=value",
		},
	},
	"socketmap": {
		testbed.Netstring("transport anna@example.com"), testbed.Netstring("OK smtp:[mail1]:25"),
		map[string]string{
			"GET / HTTP/1.0\r\n\r\n":          `want a netstring's length, got 'G'`,
			"99999999:":                       "netstring longer than 10101 octets",
			"05:hello,":                       "leading zero",
			"5:hello;":                        "want a comma after 5 octets, got ';'",
			testbed.Netstring("transport"):    `want name, blank, key, got \"transport\"`,
			testbed.Netstring("") + "garbage": `want name, blank, key, got \"\"`,
		},
	},
	"tcp_table": {
		"get anna@example.com\n", "200 smtp:[mail1]:25\n",
		map[string]string{
			"GET / HTTP/1.0\r\n\r\n":            `want get, got \"GET / HTTP/1.0\"`,
			"get %zz\n":                         `want %XX, got \"%zz\"`,
			"get a b\n":                         "character ' '",
			"get " + strings.Repeat("x", 40000): "line longer than 30004 octets",
		},
	},
	"control": {
		"GET /query?address=x@elsewhere.example HTTP/1.1\r\nHost: postwhere\r\n\r\n", "HTTP/1.1 200 OK\r\n",
		map[string]string{
			"garbage\r\n\r\n": "",
			"GET /query?address=x HTTP/1.1\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n": "",
		},
	},
}

func TestMalformedFrameCostsItsSenderTheConnectionAndNobodyElse(t *testing.T) {
	dir, _, r := everyFace(t)
	for face, c := range faceTests {
		t.Run(face, func(t *testing.T) {
			good := dialUnix(t, dir+"/"+face)
			in := bufio.NewReader(good)
			works := func() {
				t.Helper()
				if _, err := io.WriteString(good, c.request); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(c.reply))
				if _, err := io.ReadFull(in, got); err != nil || string(got) != c.reply {
					t.Errorf("told %q, %v, want %q", got, err, c.reply)
				}
				if face == "control" { // there is more to its replies
					for got := ""; !strings.HasSuffix(got, "}\n"); {
						line, err := in.ReadString('\n')
						if err != nil {
							t.Fatal(err)
						}
						got = line
					}
				}
			}
			works()
			for frame, logged := range c.bad {
				bad := dialUnix(t, dir+"/"+face)
				go func() { _, _ = io.WriteString(bad, frame) }() // it is not read to its end
				reply, _ := io.ReadAll(bad)                       // returns when the connection is closed
				if logged == "" && !strings.HasPrefix(string(reply), "HTTP/1.1 4") || logged != "" && len(reply) > 0 {
					t.Errorf("%.40q was answered by %q", frame, reply)
				}
				if !r.Logged(logged) {
					t.Errorf("%.40q: the log does not say %s", frame, logged)
				}
				works()
			}
		})
	}
	if !r.Logged("level=WARN msg=\"connection closed\" face=policy peer=" + dir + "/policy") {
		t.Error("the log does not say at which listener")
	}
}

// What a daemon must not be made to do by what is asked.
func TestControlAnswersNothingButItsQuestions(t *testing.T) {
	dir, _, _ := everyFace(t)
	for request, want := range map[string]string{
		"POST /query?address=anna@example.com": "HTTP/1.1 405 ",
		"GET /":                                "HTTP/1.1 404 ",
		"GET /query/../etc":                    "HTTP/1.1 ",
		"GET /query":                           "HTTP/1.1 200 ",
		"GET /hosts":                           "HTTP/1.1 200 ",
		"POST /hosts":                          "HTTP/1.1 405 ",
		"GET /drain?host=mail1":                "HTTP/1.1 405 ",
		"POST /drain":                          "HTTP/1.1 400 ",
		"POST /drain?host=nowhere":             "HTTP/1.1 400 ",
		"POST /undrain?host=nowhere":           "HTTP/1.1 400 ",
	} {
		conn := dialUnix(t, dir+"/control")
		if _, err := conn.Write([]byte(request + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		reply := make([]byte, len(want))
		if _, err := conn.Read(reply); err != nil || !strings.HasPrefix(string(reply), want) {
			t.Errorf("%s: %q, %v", request, reply, err)
		}
	}
}
