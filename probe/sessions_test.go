package probe

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"
)

// Two hosts of one tls_name share the keys of their sessions, as two ports of one Postfix do. What
// the one has proven the other has not: its certificate is looked at.
func TestTLSSessionOfOneHostIsNoProofOfAnother(t *testing.T) {
	a := newAuthority(t)
	server := func(name string) *tls.Config {
		c := a.certify(t, name, time.Hour)
		pair, err := tls.X509KeyPair([]byte(c.pem), []byte(c.pem))
		if err != nil {
			t.Fatal(err)
		}
		conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		conf.SetSessionTicketKeys([][32]byte{{1}})
		return conf
	}
	security := &Security{Level: TLSVerify, Name: "mail.d.test", Roots: a.roots()}
	shakes := func(p *Prober, conf *tls.Config) (resumed bool, err error) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		served := make(chan struct{})
		go func() {
			defer close(served)
			remote, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = remote.Close() }()
			conn := tls.Server(remote, conf)
			if conn.HandshakeContext(t.Context()) == nil {
				_, _ = conn.Write([]byte("2"))
			}
		}()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = client.SetDeadline(time.Now().Add(time.Minute))
		conn, err := security.handshake(t.Context(), client, p.cfg.learnt.sessions)
		if err == nil {
			_, err = conn.Read(make([]byte, 1)) // and the ticket before it
			resumed = conn.(*tls.Conn).ConnectionState().DidResume
		}
		_ = client.Close()
		<-served
		return resumed, err
	}
	one, other := ofHost(t, newHost(t, has(true))), ofHost(t, newHost(t, has(true)))
	whole, wrong := server("mail.d.test"), server("other.d.test")
	for i := range 2 {
		if resumed, err := shakes(one, whole); err != nil || resumed != (i == 1) {
			t.Fatalf("resumed %t, %v", resumed, err)
		}
	}
	if resumed, err := shakes(other, wrong); !errors.As(err, new(certificateError)) {
		t.Errorf("accepted: resumed %t, %v", resumed, err)
	}
}
