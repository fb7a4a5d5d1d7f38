// Package config reads postwhere.toml: one typed value, with every key
// documented where it is defined. Nothing else reads the file.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postwhere/cache"
	"postwhere/cache/shared"
	"postwhere/policy"
)

// DefaultFile is where the configuration is looked for.
const DefaultFile = "/etc/postwhere/postwhere.toml"

// DefaultCacheFile is where memory is kept over a restart.
const DefaultCacheFile = "/var/lib/postwhere/cache.db"

// Config is the whole configuration. Default has each key's default.
type Config struct {
	Listen Listen           `toml:"listen"`
	Domain []Domain         `toml:"domain"`
	Host   map[string]*Host `toml:"host"`
	Search Search           `toml:"search"`
	Probe  Probe            `toml:"probe"`
	Cache  Cache            `toml:"cache"`
	Reply  Reply            `toml:"reply"`
	Bypass Bypass           `toml:"bypass"`
	Milter Milter           `toml:"milter"`
	Limits Limits           `toml:"limits"`
	MX     MX               `toml:"mx"`

	Postfix      Postfix      `toml:"postfix"`
	Provisioning Provisioning `toml:"provisioning"`

	dir string // where relative paths begin
}

// Listen says where Postfix and the administrator reach the daemon.
type Listen struct {
	Policy    []Listener `toml:"policy"`    // check_policy_service
	Milter    []Listener `toml:"milter"`    // smtpd_milters
	Socketmap []Listener `toml:"socketmap"` // socketmap_table(5): maps transport, recipient, domain, alias
	Control   []Listener `toml:"control"`   // the command line
	TCPTable  []TCPTable `toml:"tcp_table"` // tcp_table(5)

	Provisioning []Listener `toml:"provisioning"` // POST /cache/flush; default none
}

// TCPTable is one tcp_table(5) listener, which answers for one map.
type TCPTable struct {
	Listen Listener `toml:"listen"`
	Map    string   `toml:"map"` // transport, recipient, domain or alias
}

// Domain is a distributed domain.
type Domain struct {
	// Name is the domain, or a list of names that all lead to its hosts.
	Name Names `toml:"name"`
	// Hosts are its mail hosts, NAME or NAME:PORT, in order of preference.
	// Empty: the domain's MX hosts.
	Hosts []string `toml:"hosts"`
	// AskAs is the domain that the hosts are asked about, whichever of Name the
	// recipient had. Empty: the recipient's own.
	AskAs string `toml:"ask_as"`
	// RecipientDelimiter is Postfix's: the characters that begin an address
	// extension. Empty: none.
	RecipientDelimiter string `toml:"recipient_delimiter"`
	// Owners is a file with lines ADDRESS HOST, which are settled without asking.
	Owners string `toml:"owners"`
	// Unsure is what becomes at the door of a recipient about whom the hosts are
	// unsure: defer (default), or pass, which lets him in; his mail waits in the
	// queue until the hosts can be asked.
	Unsure Unsure `toml:"unsure"`
	// HostText tells the client of a rejected recipient what the first of Hosts
	// said, unless that would give away a host. Default false: reply.reject.
	HostText bool `toml:"host_text"`
	// OwnerRefresh, OwnerExpire, NoExpire and UnsureExpire are the lifetimes of what is
	// remembered about the domain's addresses. Default: those of Cache.
	OwnerRefresh *Duration `toml:"owner_refresh"`
	OwnerExpire  *Duration `toml:"owner_expire"`
	NoExpire     *Duration `toml:"no_expire"`
	UnsureExpire *Duration `toml:"unsure_expire"`

	owners map[string]string
}

// Search bounds the search for a mailbox.
type Search struct {
	Deadline       Duration `toml:"deadline"`        // a host that is silent by then is unsure
	PreferenceWait Duration `toml:"preference_wait"` // how long a yes waits for hosts before it in the list
	MapWait        Duration `toml:"map_wait"`        // how long a table look-up waits for the hosts
	MaxSearches    int      `toml:"max_searches"`    // at once; beyond it the answer is 4xx
}

// Probe says how hosts are asked.
type Probe struct {
	HeloName       string   `toml:"helo_name"`       // this machine in EHLO, behind the mark; default its host name
	Sender         string   `toml:"sender"`          // of MAIL FROM; empty: <>, and postmaster@helo_name where that is refused
	ConnectTimeout Duration `toml:"connect_timeout"` // for a connection
	ReplyTimeout   Duration `toml:"reply_timeout"`   // for a reply
}

// Cache bounds what is remembered.
type Cache struct {
	// File is where owners are kept over a restart, and what was learnt of the
	// hosts. Empty: nothing is kept.
	File         string   `toml:"file"`
	Owners       int      `toml:"owners"`        // entries: mailboxes whose host is known
	Strangers    int      `toml:"strangers"`     // entries: addresses that nobody is known to have
	OwnerRefresh Duration `toml:"owner_refresh"` // then the owner is asked again, behind a look-up
	OwnerExpire  Duration `toml:"owner_expire"`  // then it is forgotten
	NoExpire     Duration `toml:"no_expire"`     // how long a host's no counts
	UnsureExpire Duration `toml:"unsure_expire"` // how long a host that could not be asked is left alone

	// Shared is the Redis or Valkey server through which several front ends have one
	// memory. Empty: there is none.
	Shared SharedServer `toml:"shared"`
	// SharedPasswordFile has its password in one line. Default: none.
	SharedPasswordFile string `toml:"shared_password_file"`
	// SharedCAFile has the authorities of its certificate, with rediss://, in PEM.
	// Default: the system's.
	SharedCAFile string `toml:"shared_ca_file"`
	// SharedPrefix is what all keys begin with. Front ends with one prefix have one
	// memory.
	SharedPrefix string `toml:"shared_prefix"`
}

// Reply is what a client is told: code, enhanced code, text.
type Reply struct {
	Reject SMTPReply `toml:"reject"` // 5xx 5.x.x: nobody has the mailbox
	Defer  SMTPReply `toml:"defer"`  // 4xx 4.x.x: it could not be found out
}

// Milter is for the milter alone.
type Milter struct {
	// TraceHeader is the name, X-…, of a header that says at the end of a message
	// which host owns each of its recipients. Empty: none.
	TraceHeader string `toml:"trace_header"`
}

// Limits protect the daemon from its clients.
type Limits struct {
	Connections    int      `toml:"connections"`     // on one kind of listener; more wait
	RequestTimeout Duration `toml:"request_timeout"` // for a request that has begun, and for its reply
}

// Postfix is what its side of things is called.
type Postfix struct {
	// Transport is the transport(5) of default routes. One of another name than
	// smtp is made by `postwhere postfix`: an smtp(8) to which a mailbox that has
	// moved away is a reason to try again, and not to bounce.
	Transport string `toml:"transport"`
}

// MX is for domains whose hosts are their MX hosts.
type MX struct {
	OwnNames []string `toml:"own_names"` // of this machine, left out; default its host name
	Refresh  Duration `toml:"refresh"`   // how often MX is looked up
}

// Default returns the configuration that an empty file stands for.
func Default() *Config {
	return &Config{
		Listen: Listen{
			Policy:    []Listener{{"tcp", "127.0.0.1:10045"}},
			Milter:    []Listener{{"tcp", "127.0.0.1:10046"}},
			Socketmap: []Listener{{"tcp", "127.0.0.1:10047"}},
			Control:   []Listener{{"unix", "/run/postwhere/control"}},
		},
		Search: Search{
			Deadline:       Duration(20 * time.Second),
			PreferenceWait: Duration(250 * time.Millisecond),
			MapWait:        Duration(time.Second),
			MaxSearches:    10000,
		},
		Probe: Probe{
			ConnectTimeout: Duration(5 * time.Second),
			ReplyTimeout:   Duration(10 * time.Second),
		},
		Cache: Cache{
			File:         DefaultCacheFile,
			Owners:       1000000,
			Strangers:    100000,
			OwnerRefresh: Duration(time.Hour),
			OwnerExpire:  Duration(7 * 24 * time.Hour),
			NoExpire:     Duration(5 * time.Minute),
			UnsureExpire: Duration(10 * time.Second),
			SharedPrefix: shared.DefaultPrefix,
		},
		Reply: Reply{
			Reject: SMTPReply{policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}},
			Defer:  SMTPReply{policy.Reply{Code: 450, Enhanced: "4.4.1", Text: "Mailbox cannot be looked up now, try again later"}},
		},
		Limits:  Limits{Connections: 1000, RequestTimeout: Duration(10 * time.Second)},
		Postfix: Postfix{Transport: "smtp"},
		MX:      MX{Refresh: Duration(5 * time.Minute)},
	}
}

// Load reads and checks a configuration file. Each error names the file, the
// place in it and what to do; there may be several, joined.
func Load(file string) (*Config, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the administrator's choice
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no configuration %s: write it, or name another by -c FILE", file)
	case err != nil:
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(file, string(text))
}

// Parse is Load of a text that was read from file.
func Parse(file, text string) (*Config, error) {
	c := Default()
	if err := c.decode(file, text); err != nil {
		return nil, err
	}
	dir := filepath.Dir(file)
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute // so that paths below it are, whoever joins them
	}
	if err := c.complete(dir); err != nil {
		return nil, prefixed(file, err)
	}
	return c, nil
}

// Options returns the section as package cache takes it; see Config.MemoryOptions.
func (c Cache) Options() cache.Options {
	return cache.Options{
		Owners: c.Owners, Strangers: c.Strangers,
		Lifetimes: cache.Lifetimes{
			Refresh: time.Duration(c.OwnerRefresh), Expire: time.Duration(c.OwnerExpire),
			No: time.Duration(c.NoExpire), Unsure: time.Duration(c.UnsureExpire),
		},
	}
}
