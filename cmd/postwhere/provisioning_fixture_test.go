package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"postwhere/policy"
)

const goodToken = "0123456789abcdef-._~+/=="

// provisioned is a daemon with two hosts, and where a provisioning system asks it: over
// TCP with a token, or by a socket without. anna is at mail1, carla at mail2, and both
// are remembered, and so is that nobody has nobody.
type provisioned struct {
	d       *daemon
	log     *recorder
	network string
	address string
	text    string // of the configuration
	auth    string // what a request carries
}

func startProvisioned(t *testing.T, network string) *provisioned {
	t.Helper()
	mail1, mail2 := startOddHost(t, having("anna@example.com", "adam@example.com")), startOddHost(t, having("carla@example.com"))
	dir := shortDir(t)
	p := &provisioned{network: network, text: strings.Replace(siteText(mail1, mail2), "control   = []", "control = []\nprovisioning = [\"unix:"+dir+"/p\"]", 1)}
	if network == "tcp" {
		token := dir + "/token"
		if err := os.WriteFile(token, []byte(goodToken+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.auth = "Bearer " + goodToken
		p.text = strings.Replace(p.text, "unix:"+dir+"/p", "inet:127.0.0.1:0", 1) + "[provisioning]\ntoken_file = \"" + token + "\"\n"
	}
	p.d, p.log = startDaemon(t, p.text)
	p.address = p.d.addressOf("provisioning")
	p.learn()
	return p
}

// learn puts into memory what the hosts would say.
func (p *provisioned) learn() {
	answer := func(host string, says policy.Says) policy.Answer {
		return policy.Answer{Host: host, Says: says, Method: "rcpt", At: time.Now()}
	}
	for local, host := range map[string]string{"anna": "mail1", "adam": "mail1", "carla": "mail2"} {
		p.d.memory.Own(policy.AddressOf(local, "example.com"), answer(host, policy.Yes))
	}
	p.d.memory.Keep(policy.AddressOf("nobody", "example.com"), []policy.Answer{answer("mail1", policy.No), answer("mail2", policy.No)})
}

// answer is what a request came to.
type answer struct {
	status int
	header http.Header
	body   string
}

// say sends the octets of a request, and reads the answer.
func (p *provisioned) say(t *testing.T, request string) answer {
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
func (p *provisioned) post(t *testing.T, query, kind, body string) answer {
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

// knows wants that of the addresses that were learnt these are remembered.
func (p *provisioned) knows(t *testing.T, want string) {
	t.Helper()
	var known []string
	for _, local := range []string{"adam", "anna", "carla", "nobody"} {
		if m := p.d.memory.Recall(policy.AddressOf(local, "example.com")); m.Owner.Says == policy.Yes || len(m.Answers) > 0 {
			known = append(known, local)
		}
	}
	if got := strings.Join(known, " "); got != want {
		t.Errorf("remembered: %q, want %q", got, want)
	}
}
