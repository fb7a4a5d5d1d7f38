package shared

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// DefaultPrefix is what keys begin with, if not otherwise configured.
const DefaultPrefix = "postwhere:"

// Server is where a shared memory is, and how it is had. ParseServer makes one.
type Server struct {
	Network  string // "tcp" or "unix"
	Address  string
	DB       int
	User     string
	Password string
	Prefix   string // of all keys
	// TLS is the name that the server's certificate must have; empty: it is asked
	// without TLS.
	TLS string
	// Authorities are for the certificate, in PEM; empty: the system's.
	Authorities string
}

// ParseServer reads redis://[USER@]HOST[:PORT][/DB], rediss:// for TLS, or
// unix://[USER@]/PATH[?db=DB]. The prefix is DefaultPrefix. The password has its place
// in a file, and not in a URL, which is printed in logs.
func ParseServer(text string) (Server, error) {
	const want = "want redis://HOST:PORT/DB, rediss:// or unix:///PATH"
	u, err := url.Parse(text)
	if err != nil {
		return Server{}, errors.New(want) // err has the text, and the text may have a password
	}
	if _, has := u.User.Password(); has {
		return Server{}, errors.New("the password does not belong there, but into a file")
	}
	query := u.Query()
	query.Del("db")
	if len(query) > 0 || u.Scheme != "unix" && u.RawQuery != "" || u.Fragment != "" {
		return Server{}, fmt.Errorf("%s: want no options behind it", u.Redacted())
	}
	opt, err := redis.ParseURL(text)
	if err != nil || opt.DB < 0 || opt.Network == "unix" && opt.Addr == "" {
		return Server{}, fmt.Errorf("%s: %s", u.Redacted(), want)
	}
	s := Server{Network: opt.Network, Address: opt.Addr, DB: opt.DB, User: opt.Username, Prefix: DefaultPrefix}
	if opt.TLSConfig != nil {
		s.TLS = opt.TLSConfig.ServerName
	}
	return s, nil
}

// String returns the URL, without prefix and password.
func (s Server) String() string {
	u := url.URL{Scheme: "redis", Host: s.Address, Path: fmt.Sprintf("/%d", s.DB)}
	switch {
	case s.Network == "unix":
		u = url.URL{Scheme: "unix", Path: s.Address, RawQuery: fmt.Sprintf("db=%d", s.DB)}
	case s.TLS != "":
		u.Scheme = "rediss"
	}
	if s.User != "" {
		u.User = url.User(s.User)
	}
	return u.String()
}

// Check tells what is wrong with the server's settings, nil if nothing is.
func (s Server) Check() error {
	if s.Authorities == "" {
		return nil
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(s.Authorities)) {
		return errors.New("there is no certificate in the file of authorities")
	}
	return nil
}

// maxConnections is more than are used at once.
const maxConnections = 2 * askers

// options returns how the library is to talk to the server: it waits for an answer
// no longer than wait, and poolWait for a connection, and tries nothing twice.
func (s Server) options(wait, poolWait time.Duration) *redis.Options {
	opt := &redis.Options{
		Network: s.Network, Addr: s.Address, DB: s.DB, Username: s.User, Password: s.Password,
		// Two is what every server and proxy speaks.
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1, DialerRetries: 1, DialTimeout: patience,
		ReadTimeout: wait, WriteTimeout: wait, PoolTimeout: poolWait,
		PoolSize: maxConnections, MaxActiveConns: maxConnections, PipelinePoolSize: -1,
		// A server may close what is idle (timeout in redis.conf): the library looks
		// before it uses a connection.
		ConnMaxIdleTime: -1,
	}
	if s.TLS != "" {
		opt.TLSConfig = &tls.Config{ServerName: s.TLS, MinVersion: tls.VersionTLS12}
		if s.Authorities != "" {
			opt.TLSConfig.RootCAs = x509.NewCertPool()
			opt.TLSConfig.RootCAs.AppendCertsFromPEM([]byte(s.Authorities))
		}
	}
	opt.Dialer = guardedBy(redis.NewDialer(opt))
	return opt
}

// explain returns an error with what the administrator can do about it.
func (s Server) explain(err error) error {
	switch {
	case s.TLS == "":
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%w: shared_ca_file is to have the authority of its certificate", err)
	case errors.As(err, new(x509.HostnameError)):
		return fmt.Errorf("%w: shared is to have the name that its certificate has", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v, perhaps it has no TLS at that port: %w", patience, err)
	}
	return err
}

// The library has a log of its own, on standard error, with a line for each try. What
// it says is in the errors, too.
func init() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// newID returns a name that no other front end has.
func newID() string { return rand.Text()[:16] }
