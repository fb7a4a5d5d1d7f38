package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	gomilter "github.com/d--j/go-milter"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// agreeable is a milter that lets everybody in.
type agreeable struct{ gomilter.NoOpMilter }

func (agreeable) RcptTo(string, string, gomilter.Modifier) (*gomilter.Response, error) {
	return gomilter.RespContinue, nil
}

// startAgreeable serves it by go-milter alone, and returns where.
func startAgreeable(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := gomilter.NewServer(gomilter.WithMilter(func() gomilter.Milter { return agreeable{} }))
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// milterClient is an MTA in a message.
type milterClient struct {
	b     *testing.B
	conn  net.Conn
	reply [4096]byte
}

func dialMilter(b *testing.B, addr string) *milterClient {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	c := &milterClient{b: b, conn: conn}
	var offer []byte
	for _, v := range []uint32{6, 0x1ff, 0x1fffff} {
		offer = binary.BigEndian.AppendUint32(offer, v)
	}
	// Whoever negotiates no silence has something to say to each.
	protocol := binary.BigEndian.Uint32([]byte(c.ask(testbed.MilterFrame('O', string(offer))))[9:])
	for cmd, rest := range map[gomilter.OptProtocol]string{
		gomilter.OptNoConnReply: testbed.MilterFrame('C', "client.example\x004\x1f\x90192.0.2.7\x00"),
		gomilter.OptNoMailReply: testbed.MilterFrame('M', "<s@src.example>\x00"),
	} {
		if protocol&uint32(cmd) == 0 {
			c.ask(rest)
		} else if _, err := io.WriteString(conn, rest); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// ask sends frames and returns the reply to them.
func (c *milterClient) ask(frames string) string {
	if _, err := io.WriteString(c.conn, frames); err != nil {
		c.b.Error(err)
	}
	if _, err := io.ReadFull(c.conn, c.reply[:4]); err != nil {
		c.b.Error(err)
	}
	body := c.reply[4 : 4+min(int(binary.BigEndian.Uint32(c.reply[:4])), len(c.reply)-4)]
	if _, err := io.ReadFull(c.conn, body); err != nil {
		c.b.Error(err)
	}
	return string(body)
}

// rcpt asks about a recipient, as smtpd(8) does.
func (c *milterClient) rcpt(to, want string) {
	got := c.ask(testbed.MilterFrame('D', "Ri\x004ZxQ2b1Yz\x00{rcpt_mailer}\x00relay\x00{rcpt_addr}\x00"+to+"\x00") + testbed.MilterFrame('R', "<"+to+">\x00"))
	if got != want {
		c.b.Errorf("%s: %q, want %q", to, got, want)
	}
}

// BenchmarkMilter compares the RCPT TO that a whole daemon judges a second, its line
// of the log included, with those that a go-milter server lets through that always
// continues. The recipients are remembered.
func BenchmarkMilter(b *testing.B) {
	const clients, rounds, recipients, lookups = 4, 101, 500, 1000
	h, err := testbed.NewHost(func(to string) error {
		if testbed.IsNonsense(to) {
			return testbed.ErrNobody
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Stop)
	none, err := testbed.NewHost(func(string) error { return testbed.ErrNobody })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(none.Stop)
	text := "[listen]\npolicy = []\nmilter = ['inet:127.0.0.1:0']\nsocketmap = []\ncontrol = []\n[cache]\nfile = ''\n"
	for name, host := range map[string]*testbed.Host{"known": h, "unknown": none} {
		text += fmt.Sprintf("[[domain]]\nname = '%[1]s.example'\nhosts = ['%[1]s']\n[host.%[1]s]\nprobe = %[2]q\n", name, host.Address)
	}
	cfg, err := config.Parse("bench.toml", text)
	if err != nil {
		b.Fatal(err)
	}
	d := daemon.New(maillog.New(io.Discard))
	if err := d.Adopt(cfg); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Shutdown(b.Context()) })
	bare := startAgreeable(b)
	for _, run := range []struct{ domain, want string }{{"known.example", "c"}, {"unknown.example", "y550 5.1.1 User unknown\x00"}} {
		b.Run(run.domain[:len(run.domain)-len(".example")], func(b *testing.B) {
			for i := range recipients {
				if _, err := d.Search(b.Context(), policy.Request{Recipient: fmt.Sprintf("user%d@%s", i, run.domain)}); err != nil {
					b.Fatal(err)
				}
			}
			dial := func(addr string) chan *milterClient {
				idle := make(chan *milterClient, clients)
				for range clients {
					idle <- dialMilter(b, addr)
				}
				return idle
			}
			toUs, toBare := dial(d.AddressOf("milter")), dial(bare)
			rate := func(idle chan *milterClient, want string) float64 {
				begun := time.Now()
				askers(clients, lookups, func(i int) {
					c := <-idle
					c.rcpt(fmt.Sprintf("user%d@%s", i%recipients, run.domain), want)
					idle <- c
				})
				return lookups / time.Since(begun).Seconds()
			}
			var ours, bares, ratios []float64
			for range rounds { // in turns, so that what else the machine does hits both
				ours = append(ours, rate(toUs, run.want))
				bares = append(bares, rate(toBare, "c"))
				ratios = append(ratios, ours[len(ours)-1]/bares[len(bares)-1])
			}
			b.ReportMetric(median(ours), "rcpt/s")
			b.ReportMetric(median(bares), "go-milter-rcpt/s")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
