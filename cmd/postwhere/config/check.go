package config

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"postwhere/policy"
)

// The patience of those who wait for us, which no deadline may outlast.
const (
	// A client waits five minutes for the reply to RCPT TO (RFC 5321 section
	// 4.5.3.2.3), and there is more to a recipient than us.
	maxDeadline = Duration(4 * time.Minute)
	// A socketmap's client waits 100 s (DICT_SOCKMAP_DEF_TIMEOUT).
	maxMapWait = Duration(90 * time.Second)
)

// checkNumbers checks what must lie within bounds or in an order.
func (c *Config) checkNumbers(wrong *problems) {
	for _, t := range []struct {
		key   string
		value Duration
	}{
		{"search.deadline", c.Search.Deadline},
		{"search.map_wait", c.Search.MapWait},
		{"probe.connect_timeout", c.Probe.ConnectTimeout},
		{"probe.reply_timeout", c.Probe.ReplyTimeout},
		{"cache.owner_refresh", c.Cache.OwnerRefresh},
		{"cache.no_expire", c.Cache.NoExpire},
		{"cache.unsure_expire", c.Cache.UnsureExpire},
		{"limits.request_timeout", c.Limits.RequestTimeout},
		{"mx.refresh", c.MX.Refresh},
	} {
		if t.value <= 0 {
			wrong.add("%s must be more than 0", t.key)
		}
	}
	for _, n := range []struct {
		key   string
		value int
	}{
		{"search.max_searches", c.Search.MaxSearches},
		{"cache.owners", c.Cache.Owners},
		{"cache.strangers", c.Cache.Strangers},
		{"limits.connections", c.Limits.Connections},
	} {
		if n.value < 1 {
			wrong.add("%s = %d: want 1 or more", n.key, n.value)
		}
	}
	if d := c.Search.Deadline; d > maxDeadline {
		wrong.add("search.deadline = %s: want %s at most: then a client gives up that waits for the reply to RCPT TO", d, maxDeadline)
	}
	if d := c.Search.MapWait; d > maxMapWait {
		wrong.add("search.map_wait = %s: want %s at most: then Postfix gives up", d, maxMapWait)
	}
	if c.Cache.OwnerExpire < c.Cache.OwnerRefresh {
		wrong.add("cache.owner_expire (%s) is shorter than cache.owner_refresh (%s)", c.Cache.OwnerExpire, c.Cache.OwnerRefresh)
	}
	c.checkLifetimes(wrong)
	c.checkTexts(wrong)
}

// checkTexts checks what is said to clients and to hosts.
func (c *Config) checkTexts(wrong *problems) {
	if c.Reply.Reject.Code/100 != 5 {
		wrong.add("reply.reject must be a 5xx reply, not %q", c.Reply.Reject)
	}
	if c.Reply.Defer.Code/100 != 4 {
		wrong.add("reply.defer must be a 4xx reply, not %q", c.Reply.Defer)
	}
	if s := c.Probe.Sender; s != "" {
		if _, err := policy.ParseAddress(s); err != nil {
			wrong.add("probe.sender: %w", err)
		}
	}
	if n := c.Milter.TraceHeader; n != "" && !traceHeader.MatchString(n) {
		wrong.add("milter.trace_header %q: want the name of a header that nobody else uses, such as \"X-Postwhere\"", n)
	}
	if n := c.Probe.HeloName; n != "" && !hostName.MatchString(n) {
		wrong.add("probe.helo_name %q: want a host name", n)
	}
}

// traceHeader is the name of a header of our own.
var traceHeader = regexp.MustCompile(`^[Xx]-[A-Za-z0-9-]{1,60}$`)

// tables are the maps that a tcp_table listener may answer for.
var tables = []string{"transport", "recipient", "domain", "alias"}

// checkListeners: no address twice, no unknown map.
func (c *Config) checkListeners(wrong *problems) {
	taken := make(map[Listener]string)
	claim := func(key string, l Listener) {
		if other, is := taken[l]; is && !l.AnyPort() {
			wrong.add("%s and %s both listen on %s", other, key, l)
		}
		taken[l] = key
	}
	for _, face := range []struct {
		key  string
		list []Listener
	}{
		{"listen.policy", c.Listen.Policy}, {"listen.milter", c.Listen.Milter}, {"listen.socketmap", c.Listen.Socketmap}, {"listen.control", c.Listen.Control},
		{"listen.provisioning", c.Listen.Provisioning},
	} {
		for _, l := range face.list {
			claim(face.key, l)
		}
	}
	for _, l := range c.Listen.Control {
		if l.Network != "unix" {
			wrong.add("listen.control %s: want unix:/PATH, whose permissions say who may give orders", l)
		}
	}
	for i, t := range c.Listen.TCPTable {
		if t.Listen == (Listener{}) {
			wrong.add("listen.tcp_table %d has no address: say listen = \"inet:127.0.0.1:PORT\"", i+1)
			continue
		}
		claim("listen.tcp_table", t.Listen)
		if !slices.Contains(tables, t.Map) {
			wrong.add("listen.tcp_table %s: map %q: want %s", t.Listen, t.Map, strings.Join(tables, ", "))
		}
	}
}
