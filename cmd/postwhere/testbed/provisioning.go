package testbed

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Provisioner is a provisioning system.
type Provisioner struct {
	Network string
	Address string
	Auth    string // what a request carries
}

// Answer is what a request came to.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// GoodToken is one that a configuration takes.
const GoodToken = "0123456789abcdef-._~+/=="

// Say sends the octets of a request, and reads the answer.
func (p *Provisioner) Say(t *testing.T, request string) Answer {
	t.Helper()
	conn := Dial(t, p.Network, p.Address)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	// It may be answered before all of it was read.
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = io.WriteString(conn, request) }()
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.200q: %v", request, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil && response.StatusCode != http.StatusRequestHeaderFieldsTooLarge { // behind which the server hangs up on what it has not read
		t.Errorf("%.200q: %v", request, err)
	}
	_ = conn.Close()
	<-sent
	return Answer{response.StatusCode, response.Header, strings.TrimSpace(string(body))}
}

// Post sends what curl would, and reads the answer.
func (p *Provisioner) Post(t *testing.T, query, kind, body string) Answer {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, p.Network, p.Address)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://postwhere/cache/flush"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": kind, "Authorization": p.Auth} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return Answer{response.StatusCode, response.Header, strings.TrimSpace(string(text))}
}
