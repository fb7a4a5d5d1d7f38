package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/config"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// benchUsers is how many mailboxes each host of a benchmark has.
const benchUsers = 2000

// benchHosts starts three real Postfix hosts, each with mailboxes of its own,
// as busy sites have them: an smtpd serves many sessions.
func benchHosts(b *testing.B) []string {
	b.Helper()
	realhost.Need(b, "postfix")
	var addrs []string
	for host := range 3 {
		var mailboxes []string
		for i := range benchUsers {
			mailboxes = append(mailboxes, benchUser(host, i)+"@example.com")
		}
		h := realhost.PostfixConfig{
			SMTP: []realhost.SMTPService{{Options: []string{"max_use=100"}}},
		}.MailHost(b, "example.com", mailboxes...)
		addrs = append(addrs, h.Addr())
	}
	return addrs
}

func benchUser(host, i int) string { return fmt.Sprintf("user%d.%d", host, i) }

// benchWorld is the search over hosts, without a daemon around it.
func benchWorld(b *testing.B, addrs []string, connections int) *world {
	b.Helper()
	text := "[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\", \"mail3\"]\n[search]\ndeadline = \"30s\"\npreference_wait = \"5s\"\n"
	for i, addr := range addrs {
		text += fmt.Sprintf("[host.mail%d]\nprobe = \"smtp:inet:%s\"\nconnections = %d\n", i+1, addr, connections)
	}
	cfg, err := config.Parse("bench.toml", text)
	if err != nil {
		b.Fatal(err)
	}
	memory, err := cache.New(cfg.Cache.Options())
	if err != nil {
		b.Fatal(err)
	}
	w, err := newWorld(b.Context(), cfg, memory, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.close(ctx)
	})
	return w
}

// askers lets n of them ask at once until all look-ups are done, and returns how
// long each took.
func askers(n, lookups int, ask func(i int)) []time.Duration {
	took := make([]time.Duration, lookups)
	var next atomic.Int64
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < lookups; i = int(next.Add(1)) - 1 {
				start := time.Now()
				ask(i)
				took[i] = time.Since(start)
			}
		})
	}
	asking.Wait()
	return took
}

// lookFor returns an asker for known or unknown addresses, each a new one.
func lookFor(b *testing.B, w *world, known bool, run int) func(int) {
	b.Helper()
	return func(i int) {
		rcpt, want := fmt.Sprintf("nobody%d.%d@example.com", run, i), policy.Reject
		if known {
			rcpt, want = benchUser(i%3, (i/3)%benchUsers)+"@example.com", policy.Deliver
		}
		f, err := w.searcher.Search(b.Context(), policy.Request{Recipient: rcpt})
		if err != nil || f.Verdict != want {
			b.Errorf("%s: %v %s %v", rcpt, f.Verdict, f.Why, err)
		}
	}
}

// BenchmarkNearHosts compares look-ups among three real Postfix hosts with a raw
// client that does nothing but send VRFY and read, over as many connections, and
// changes each after nine refusals.
func BenchmarkNearHosts(b *testing.B) {
	const connections = 5
	addrs := benchHosts(b)
	for _, known := range []bool{false, true} {
		b.Run(map[bool]string{false: "unknown", true: "known"}[known], func(b *testing.B) {
			const rounds, lookups = 5, 600
			w := benchWorld(b, addrs, connections)
			look := lookFor(b, w, known, 1)
			askers(connections, lookups, look) // until the hosts' budgets are learnt
			var ours, raws []float64
			// A round of each in turn, so that what else the machine does hits both.
			for round := range rounds {
				begun := time.Now()
				askers(connections, lookups, func(i int) { look((round+1)*lookups + i) })
				ours = append(ours, lookups/time.Since(begun).Seconds())
				raws = append(raws, rawRate(b, addrs, connections, lookups, known))
			}
			b.ReportMetric(median(ours), "lookups/s")
			b.ReportMetric(median(raws), "raw-lookups/s")
			b.ReportMetric(median(ours)/median(raws), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// rawRate returns the look-ups a second of the raw client.
func rawRate(b *testing.B, addrs []string, workers, lookups int, known bool) float64 {
	b.Helper()
	clients := make(chan []*rawClient, workers)
	for range workers {
		var three []*rawClient
		for _, addr := range addrs {
			three = append(three, &rawClient{b: b, addr: addr})
		}
		clients <- three
	}
	begun := time.Now()
	askers(workers, lookups, func(i int) {
		rcpt := fmt.Sprintf("stranger%d@example.com", i)
		if known {
			rcpt = benchUser(i%3, (i/3)%benchUsers) + "@example.com"
		}
		three := <-clients
		var asking sync.WaitGroup
		for _, c := range three {
			asking.Go(func() { c.ask(rcpt) })
		}
		asking.Wait()
		clients <- three
	})
	rate := float64(lookups) / time.Since(begun).Seconds()
	for range workers {
		for _, c := range <-clients {
			c.quit()
		}
	}
	return rate
}

// rawClient sends and reads.
type rawClient struct {
	b        *testing.B
	addr     string
	conn     net.Conn
	in       *bufio.Reader
	refusals int
}

func (c *rawClient) ask(rcpt string) {
	if c.refusals == 9 {
		c.quit()
	}
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			c.b.Error(err)
			return
		}
		c.conn, c.in, c.refusals = conn, bufio.NewReader(conn), 0
		c.read()
		c.send("EHLO raw.test\r\n")
	}
	if strings.HasPrefix(c.send("VRFY "+rcpt+"\r\n"), "550") {
		c.refusals++
	}
}

func (c *rawClient) send(line string) string {
	if _, err := io.WriteString(c.conn, line); err != nil {
		c.b.Error(err)
	}
	return c.read()
}

func (c *rawClient) read() string {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || len(line) < 4 {
			c.b.Errorf("%q %v", line, err)
			return ""
		}
		if line[3] == ' ' {
			return line
		}
	}
}

func (c *rawClient) quit() {
	if c.conn != nil {
		_, _ = io.WriteString(c.conn, "QUIT\r\n")
		_ = c.conn.Close()
		c.conn = nil
	}
}
