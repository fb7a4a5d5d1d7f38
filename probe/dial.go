package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/emersion/go-smtp"
)

// errGreeting: the host would not talk to us at all.
var errGreeting = errors.New("the host refuses us")

// dial connects to the host, introduces us, puts TLS on the connection and
// authenticates us, as far as the configuration wants it. The error tells how far
// it came. A host with which TLS is optional and fails is asked without.
func dial(ctx context.Context, cfg *Config, trace func(bool, string)) (*session, error) {
	s, err := dialSecured(ctx, cfg, cfg.Security.Level, trace)
	if errors.Is(err, errHandshake) && cfg.Security.Level == TLSMay && !cfg.Security.Wrapper {
		return dialSecured(ctx, cfg, TLSNone, trace)
	}
	return s, err
}

func dialSecured(ctx context.Context, cfg *Config, level TLSLevel, trace func(bool, string)) (*session, error) {
	born := time.Now() // the host may read its tables before we know that we are connected
	conn, err := cfg.dial(ctx, cfg.Endpoint.Network, cfg.Endpoint.Address)
	if err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if !begun {
			_ = conn.Close()
		}
	}()
	s := &session{cfg: cfg, wire: newWire(conn), born: born, trip: time.Since(born), heard: time.Now()}
	s.wire.trace = trace
	defer s.wire.within(ctx, cfg.ReplyTimeout)()
	if err := s.begin(ctx, level); err != nil {
		return nil, err
	}
	s.wire.trace = nil
	begun = true
	return s, nil
}

// begin goes from the connection to where a question can be put.
func (s *session) begin(ctx context.Context, level TLSLevel) error {
	security := &s.cfg.Security
	if security.Wrapper {
		if err := s.encrypt(ctx); err != nil {
			return err
		}
	}
	if err := s.hello(); err != nil {
		return err
	}
	if level != TLSNone && !security.Wrapper {
		if err := s.startTLS(ctx, level); err != nil {
			return err
		}
	}
	s.greeting = steadyGreeting(s.wire.greeting)
	s.speaker = &speaker{voice: s.greeting + " at " + addressOf(s.wire.Conn), born: s.born}
	s.utf8, _ = s.client.Extension("SMTPUTF8")
	s.pipelining, _ = s.client.Extension("PIPELINING")
	return security.authenticate(s.client, s.wire)
}

// addressOf returns the IP address of the other end, "" if it has none.
func addressOf(conn net.Conn) string {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return host
}

// hello reads the greeting and introduces us.
func (s *session) hello() error {
	if s.cfg.Endpoint.LMTP {
		s.client = smtp.NewClientLMTP(s.wire)
	} else {
		s.client = smtp.NewClient(s.wire)
	}
	err := s.client.Hello(s.cfg.Helo)
	var said *smtp.SMTPError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &said) && said.Code == 421:
		return fmt.Errorf("%w: %s", errBusy, printable(said.Error()))
	case errors.As(err, &said):
		return fmt.Errorf("%w: %s", errGreeting, printable(said.Error()))
	case isEnd(err) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errOutOfStep):
		return fmt.Errorf("no greeting: %w", err)
	}
	return fmt.Errorf("no greeting: %s", printable(err.Error()))
}

// startTLS puts TLS on the connection if the host offers it, and introduces us
// once more (RFC 3207 section 4.2). go-smtp can do it on a connection that it has
// opened itself only, and says EHLO localhost before.
func (s *session) startTLS(ctx context.Context, level TLSLevel) error {
	if offered, _ := s.client.Extension("STARTTLS"); !offered {
		if level == TLSMay {
			return nil
		}
		return errNoTLS
	}
	reply, err := s.wire.command("STARTTLS")
	if err != nil {
		return err
	}
	if reply.Code != 220 {
		if level == TLSMay {
			return nil
		}
		return fmt.Errorf("%w: STARTTLS: %s", errGreeting, reply)
	}
	if err := s.encrypt(ctx); err != nil {
		return err
	}
	s.wire.repeatGreeting() // the host greets once; go-smtp waits for it again
	return s.hello()
}

// errHandshake: the host and we could not agree on TLS.
var errHandshake = errors.New("TLS handshake")

// encrypt puts TLS under the wire.
func (s *session) encrypt(ctx context.Context) error {
	s.wire.gate = &gate{Conn: s.wire.Conn}
	conn, err := s.cfg.Security.handshake(ctx, s.wire.gate, s.cfg.learnt.sessions)
	if err != nil {
		return fmt.Errorf("%w: %w", errHandshake, err)
	}
	s.wire.secure(conn)
	return nil
}

// dialer returns how connections to the host, and its sockets, are opened.
func (c *Config) dialer() func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: c.ConnectTimeout}
	switch from := netip.AddrPortFrom(c.BindAddress, 0); {
	case !c.BindAddress.IsValid():
	case c.Endpoint.Network == MingerNetwork:
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	default:
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	return d.DialContext
}
