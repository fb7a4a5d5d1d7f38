package main

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

// say sends the octets of a request, and reads the answer.
func (p *provisioner) say(t *testing.T, request string) answer {
	t.Helper()
	conn := dialPatiently(t, p.network, p.address)
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
	return answer{response.StatusCode, response.Header, strings.TrimSpace(string(body))}
}

// post sends what curl would, and reads the answer.
func (p *provisioner) post(t *testing.T, query, kind, body string) answer {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, p.network, p.address)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://postwhere/cache/flush"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": kind, "Authorization": p.auth} {
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
	return answer{response.StatusCode, response.Header, strings.TrimSpace(string(text))}
}

// provisioner is a provisioning system.
type provisioner struct {
	network string
	address string
	auth    string // what a request carries
}

// answer is what a request came to.
type answer struct {
	status int
	header http.Header
	body   string
}

const goodToken = "0123456789abcdef-._~+/=="
