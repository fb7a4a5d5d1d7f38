package realhost

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ListenTLS has the server listen with TLS as well, until it ends, with a certificate for
// a name or IP address, "" for the address that is returned. It returns also the
// authority of the certificate, in PEM. The password is that of redis.conf, "" for none.
func (r *RedisServer) ListenTLS(t testing.TB, name, password string) (addr, authority string) {
	t.Helper()
	host, _, err := net.SplitHostPort(r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if name == "" {
		name = host
	}
	const port = "6380" // this address is nobody else's
	cert, key, authority := Certify(t, name, time.Hour)
	r.WriteFile(t, "cert.pem", cert)
	r.WriteFile(t, "key.pem", key)
	conn, err := net.DialTimeout("tcp", r.Addr(), greetingTime)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) {
		t.Helper()
		_, err := fmt.Fprintf(conn, format+"\r\n", args...)
		reply, readErr := in.ReadString('\n')
		if err != nil || readErr != nil || !strings.HasPrefix(reply, "+OK") {
			t.Fatalf("realhost: Redis says %q, %v, %v", reply, err, readErr)
		}
	}
	if password != "" {
		say("AUTH %s", password)
	}
	say("CONFIG SET tls-cert-file %s tls-key-file %s tls-auth-clients no tls-port %s",
		filepath.Join(r.dir, "cert.pem"), filepath.Join(r.dir, "key.pem"), port)
	return net.JoinHostPort(host, port), authority
}

// Certify returns a certificate for a name or IP address, which ends after that time, its
// key, and the authority, all in PEM.
func Certify(t testing.TB, name string, lasts time.Duration) (cert, key, authority string) {
	t.Helper()
	makeKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	inPEM := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	by, own := makeKey(), makeKey()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority of " + t.Name()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: ca.NotBefore, NotAfter: time.Now().Add(lasts), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &by.PublicKey, by)
	authority = inPEM("CERTIFICATE", der, err)
	der, err = x509.CreateCertificate(rand.Reader, leaf, ca, &own.PublicKey, by)
	cert = inPEM("CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(own)
	return cert, inPEM("PRIVATE KEY", der, err), authority
}
