package probe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// TLSLevel is how a connection is protected, in the words of Postfix's
// smtp_tls_security_level.
type TLSLevel uint8

// The levels. May is the zero value: TLS where the host offers it.
const (
	TLSMay     TLSLevel = iota // if offered, with whoever answers
	TLSNone                    // never
	TLSEncrypt                 // always, with whoever answers
	TLSVerify                  // always, with the host that its certificate names
)

var tlsLevels = []string{"may", "none", "encrypt", "verify"}

// String returns the level's name in the configuration.
func (l TLSLevel) String() string { return tlsLevels[l] }

// UnmarshalText reads the name that String returns.
func (l *TLSLevel) UnmarshalText(text []byte) error {
	i := slices.Index(tlsLevels, string(text))
	if i < 0 {
		return fmt.Errorf("tls %q: want none, may, encrypt or verify", text)
	}
	*l = TLSLevel(i)
	return nil
}

// Security says how the connections to a host are protected. The zero value is
// opportunistic STARTTLS without AUTH.
type Security struct {
	Level TLSLevel
	// Wrapper: TLS from the first octet on, without STARTTLS (port 465).
	Wrapper bool
	// Name is what the host's certificate must say at TLSVerify.
	Name string
	// Roots are the authorities of TLSVerify; nil: the system's.
	Roots *x509.CertPool
	// Fingerprints are the SHA-256 fingerprints of the host's certificate, in hex,
	// of which one must match at TLSVerify, in place of name and authorities.
	Fingerprints []string
	// User and Secret are for AUTH, by PLAIN or LOGIN; User "": no AUTH. The
	// secret is in no error, log or trace.
	User, Secret string
}

// errNoTLS: the host must offer TLS, and does not.
var errNoTLS = errors.New("the host does not offer STARTTLS, which tls = encrypt and verify want")

// config returns the configuration of a handshake. Connections to one host resume the TLS
// session of the last: sessions are that host's alone, for what one has proven, the one beside
// it at another port, or of the same tls_name, has not.
func (s *Security) config(sessions tls.ClientSessionCache) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.Name, RootCAs: s.Roots, ClientSessionCache: sessions}
	if s.Level != TLSVerify {
		// Encryption with whoever answers is better than none; who wants more says verify.
		c.InsecureSkipVerify = true //nolint:gosec // see above
		c.MinVersion = tls.VersionTLS10
	} else if len(s.Fingerprints) > 0 {
		c.InsecureSkipVerify = true //nolint:gosec // the fingerprint is what is verified
		c.VerifyConnection = s.verifyFingerprint
	}
	return c
}

func (s *Security) verifyFingerprint(state tls.ConnectionState) error {
	sum := sha256.Sum256(state.PeerCertificates[0].Raw)
	got := hex.EncodeToString(sum[:])
	for _, want := range s.Fingerprints {
		if strings.EqualFold(strings.ReplaceAll(want, ":", ""), got) {
			return nil
		}
	}
	return fmt.Errorf("the host's certificate has the fingerprint %s, which is none of tls_fingerprints", got)
}

// handshake puts TLS on a connection.
func (s *Security) handshake(ctx context.Context, conn net.Conn, sessions tls.ClientSessionCache) (net.Conn, error) {
	secure := tls.Client(conn, s.config(sessions))
	err := secure.HandshakeContext(ctx)
	var unproven *tls.CertificateVerificationError
	switch {
	case err == nil:
		return secure, nil
	case errors.As(err, &unproven):
		return nil, certificateError{unproven.Err}
	}
	return nil, fmt.Errorf("TLS: %w", err)
}

// certificateError is what is wrong with the host's certificate: an error of crypto/x509.
type certificateError struct{ error }

func (e certificateError) Error() string {
	return "the host's certificate is not accepted: " + strings.ReplaceAll(e.error.Error(), "x509: ", "")
}

func (e certificateError) Unwrap() error { return e.error }

// authenticate proves who we are, where the configuration says so.
func (s *Security) authenticate(client *smtp.Client, w *wire) error {
	if s.User == "" {
		return nil
	}
	mechanism := sasl.NewPlainClient("", s.User, s.Secret)
	if !client.SupportsAuth(sasl.Plain) {
		if !client.SupportsAuth(sasl.Login) {
			return errors.New("the host offers neither AUTH PLAIN nor LOGIN")
		}
		mechanism = &login{answers: []string{s.User, s.Secret}}
	}
	w.hide = s.hide
	defer func() { w.hide = nil }()
	if err := client.Auth(mechanism); err != nil {
		var said *smtp.SMTPError
		if errors.As(err, &said) {
			err := fmt.Errorf("%w: AUTH: %d %s", errGreeting, said.Code, s.hide(printable(said.Message)))
			if said.Code/100 == 5 {
				return loginError{err}
			}
			return err
		}
		return fmt.Errorf("AUTH: %w", err)
	}
	return nil
}

// hide returns what a host has said without the secret, which it may repeat.
func (s *Security) hide(text string) string {
	if s.Secret == "" {
		return text
	}
	encode := base64.StdEncoding.EncodeToString
	return strings.NewReplacer(
		encode([]byte("\x00"+s.User+"\x00"+s.Secret)), hidden,
		encode([]byte(s.Secret)), hidden,
		s.Secret, hidden,
	).Replace(text)
}

// loginError: the host does not let us log in. Who tries that often is locked out.
type loginError struct{ error }

func (e loginError) Unwrap() error { return e.error }

// hidden stands in a trace for what is not for it.
const hidden = "(secret)"

// login is AUTH LOGIN (draft-murchison-sasl-login): the host asks for the name and
// then for the secret. go-sasl's sends the name unasked, which not every host
// takes, and knows one wording of the second question.
type login struct{ answers []string }

func (l *login) Start() (mechanism string, first []byte, err error) { return sasl.Login, nil, nil }

func (l *login) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}
