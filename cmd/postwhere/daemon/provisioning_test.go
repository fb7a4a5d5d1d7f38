package daemon

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

const (
	asForm = "application/x-www-form-urlencoded"
	asJSON = "application/json"
)

func TestProvisioningSystemFlushes(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		p := startProvisioned(t, network)
		for _, r := range []struct {
			query, kind, body string
			owners, strangers int
			left              string
		}{
			{"?address=anna@example.com", "", "", 1, 0, "adam carla nobody"},
			{"?address=ANNA%40Example.COM&address=nobody@example.com", "", "", 1, 1, "adam carla"},
			{"?domain=example.com", "", "", 3, 1, ""},
			{"?domain=elsewhere.example", "", "", 0, 0, "adam anna carla nobody"},
			{"?host=mail1", "", "", 2, 1, "carla"},
			{"?host=mail9", "", "", 0, 0, "adam anna carla nobody"},
			{"?strangers", "", "", 0, 1, "adam anna carla"},
			{"?all=true", "", "", 3, 1, ""},
			{"?all", asForm, "", 3, 1, ""},
			{"", asForm, "address=anna%40example.com&address=carla@example.com", 2, 0, "adam nobody"},
			{"", asForm + "; charset=UTF-8", "host=mail2", 1, 1, "adam anna"},
			{"", asForm, "strangers=1", 0, 1, "adam anna carla"},
			{"", asJSON, `{"address": "anna@example.com"}`, 1, 0, "adam carla nobody"},
			{"", asJSON + "; charset=utf-8", ` {"address": ["anna@example.com", "carla@example.com", "anna@example.com"]} ` + "\n", 2, 0, "adam nobody"},
			{"", asJSON, `{"domain": "EXAMPLE.com"}`, 3, 1, ""},
			{"", asJSON, `{"host": "mail1"}`, 2, 1, "carla"},
			{"", asJSON, `{"strangers": true}`, 0, 1, "adam anna carla"},
			{"", asJSON, `{"all": true}`, 3, 1, ""},
			{"?all", asJSON, `{}`, 3, 1, ""},
		} {
			p.learn()
			a := p.Post(t, r.query, r.kind, r.body)
			var f control.Flushed
			if err := json.Unmarshal([]byte(a.Body), &f); err != nil || a.Status != 200 || f != (control.Flushed{Owners: r.owners, Strangers: r.strangers, Others: "none"}) {
				t.Errorf("%s %q %s: %+v, %v", network, r.query, r.body, a, err)
			}
			if a.Header.Get("Content-Type") != asJSON {
				t.Errorf("%s", a.Header)
			}
			p.knows(t, r.left)
		}
		if !p.log.Logged(`msg="memory is flushed" what="address=anna%40example.com" owners=1`) || !p.log.Logged("flushed for a provisioning system") {
			t.Error("it is not in the log")
		}
	}
}

// Who asks wrongly is told why, and nothing is forgotten.
func TestProvisioningSystemIsToldWhatIsWrong(t *testing.T) {
	const oneOf = "want one of address, domain, host, strangers and all"
	hundred := strings.Repeat("address=a@example.com&", 101)
	for _, network := range []string{"tcp", "unix"} {
		p := startProvisioned(t, network)
		for _, r := range []struct {
			query, kind, body string
			status            int
			want              string
		}{
			{"", "", "", 400, oneOf},
			{"", asForm, "", 400, oneOf},
			{"", asJSON, "{}", 400, oneOf},
			{"?user=anna@example.com", "", "", 400, "there is no user: " + oneOf},
			{"?address=anna@example.com&dry_run=1", "", "", 400, "there is no dry_run: " + oneOf},
			{"?address=anna@example.com&all", "", "", 400, oneOf + ", and not address and all"},
			{"?Address=anna@example.com", "", "", 400, "there is no Address: " + oneOf},
			{"?address=", "", "", 400, "address: want to know which"},
			{"?address=anna@example.com&address=", "", "", 400, "address: want to know which"},
			{"?address=anna", "", "", 400, `not an address: want local-part@domain, got "anna"`},
			{"?address=anna@example.com&address=x@elsewhere.example", "", "", 400, "elsewhere.example is not one of our domains"},
			{"?domain=", "", "", 400, "domain: want to know which"},
			{"?domain=example.com&domain=example.org", "", "", 400, "domain: want it once"},
			{"?host=mail1&host=mail2", "", "", 400, "host: want it once"},
			{"?all=false", "", "", 400, "all: want no value, or true"},
			{"?strangers=no", "", "", 400, "strangers: want no value, or true"},
			{"?address=%zz", "", "", 400, `the query cannot be read: invalid URL escape "%zz"`},
			{"?all;x", "", "", 400, "the query cannot be read: invalid semicolon separator in query"},
			{"?address=%ff@example.com", "", "", 400, "address is not UTF-8"},
			{"?" + hundred, "", "", 400, "want 100 addresses at most, got 101"},
			{"?all", asForm, "all", 400, "want what is to be flushed in the query or in the body, and not in both"},
			{"", asForm, "address=%z", 400, `the body cannot be read: invalid URL escape "%z"`},
			{"", asForm, "frobnicate", 400, "there is no frobnicate: " + oneOf},
			{"", asJSON, `{"user":"anna@example.com"}`, 400, "there is no user: " + oneOf},
			{"", asJSON, `{"all":true,"strangers":true}`, 400, oneOf + ", and not all and strangers"},
			{"", asJSON, `{"all":false}`, 400, "the body cannot be read: all: want text, a list of texts, or true"},
			{"", asJSON, `{"all":1}`, 400, "the body cannot be read: all: want text, a list of texts, or true"},
			{"", asJSON, `{"address":null}`, 400, "the body cannot be read: address: want text, a list of texts, or true"},
			{"", asJSON, `{"address":[]}`, 400, "the body cannot be read: address: want text, a list of texts, or true"},
			{"", asJSON, `{"address":["anna@example.com",1]}`, 400, "the body cannot be read: address: want text, a list of texts, or true"},
			{"", asJSON, `{"address":["anna@example.com",["x"]]}`, 400, "the body cannot be read: address: want text, a list of texts, or true"},
			{"", asJSON, `{"address":true}`, 400, "address: want to know which"},
			{"", asJSON, `{"address":"anna@example.com","address":"carla@example.com"}`, 400, "the body cannot be read: address is there twice"},
			{"", asJSON, `{"all":true} {"all":true}`, 400, "the body cannot be read: want one JSON object, and nothing behind it"},
			{"", asJSON, `{"all":true`, 400, "the body cannot be read: EOF"},
			{"", asJSON, `["anna@example.com"]`, 400, "the body cannot be read: want a JSON object"},
			{"", asJSON, `all`, 400, "the body cannot be read: want a JSON object"},
			{"", asJSON, "{\"address\":\"\xff@example.com\"}", 400, "the body cannot be read: it is not UTF-8"},
			{"", asJSON, `{"address":"\ud800@example.com"}`, 400, "address is not UTF-8"},
			{"", asJSON, strings.Repeat(" ", 128<<10) + `{"all":true}`, 413, "want a body of 131072 octets at most"},
			{"", asForm, "address=" + strings.Repeat("x", 1<<20), 413, "want a body of 131072 octets at most"},
			{"", asForm + "; charset=iso-8859-1", "all", 415, "want a body of type application/json or application/x-www-form-urlencoded, in UTF-8"},
			{"", "text/plain", "all", 415, "want a body of type application/json or application/x-www-form-urlencoded, in UTF-8"},
			{"", "", "all", 415, "want a body of type application/json or application/x-www-form-urlencoded, in UTF-8"},
			{"", "multipart/form-data; boundary=x", "--x--", 415, "want a body of type application/json or application/x-www-form-urlencoded, in UTF-8"},
		} {
			if a := p.Post(t, r.query, r.kind, r.body); a.Status != r.status || a.Body != r.want {
				t.Errorf("%s %.100q %.100q: %d %q, want %d %q", network, r.query, r.body, a.Status, a.Body, r.status, r.want)
			}
		}
		p.knows(t, "adam anna carla nobody")
	}
}

// What is no request for a flush, or comes from who may not ask.
func TestProvisioningListenerServesNothingElse(t *testing.T) {
	p := startProvisioned(t, "tcp")
	auth := "Authorization: " + p.Auth + "\r\n"
	for _, r := range []struct {
		line, headers string
		status        int
	}{
		{"GET /cache/flush?all", auth, 405},
		{"HEAD /cache/flush?all", auth, 405},
		{"PUT /cache/flush?all", auth, 405},
		{"OPTIONS /cache/flush", auth, 405},
		{"DELETE /cache/flush?all", "", 405},
		{"OPTIONS *", auth, 404},
		{"CONNECT 127.0.0.1:25", auth, 404},
		{"POST /", auth, 404},
		{"POST /cache", auth, 404},
		{"POST /cache/flush/?all", auth, 404},
		{"POST //cache/flush?all", auth, 404},
		{"POST /cache/../cache/flush?all", auth, 404},
		{"GET /cache/dump", auth, 404},
		{"GET /cache/stats", auth, 404},
		{"GET /query?address=anna@example.com", auth, 404},
		{"POST /drain?host=mail1", auth, 404},
		{"POST /cache/flush?all", "", 401},
		{"POST /cache/flush?all", "Authorization: Bearer\r\n", 401},
		{"POST /cache/flush?all", "Authorization: Bearer \r\n", 401},
		{"POST /cache/flush?all", "Authorization: Bearer " + testbed.GoodToken[1:] + "\r\n", 401},
		{"POST /cache/flush?all", "Authorization: Bearer " + testbed.GoodToken + "=\r\n", 401},
		{"POST /cache/flush?all", "Authorization: Bearer " + strings.ToUpper(testbed.GoodToken) + "\r\n", 401},
		{"POST /cache/flush?all", "Authorization: Basic " + testbed.GoodToken + "\r\n", 401},
		{"POST /cache/flush?all", "Authorization: " + testbed.GoodToken + "\r\n", 401},
		{"POST /cache/flush?all", auth + auth, 401},
		{"POST /cache/flush?all&access_token=" + testbed.GoodToken, "", 401}, // where logs have it
		{"POST /cache/flush?all", auth + "Origin: http://evil.example\r\n", 403},
		{"POST /cache/flush?all", auth + "Origin: null\r\n", 403},
		{"POST /cache/flush?all", auth + "Origin: http://x\r\n", 403}, // whose name leads here
		{"POST /cache/flush?all", auth + "Sec-Fetch-Site: cross-site\r\n", 403},
		{"POST /cache/flush?all", auth + "Sec-Fetch-Site: same-origin\r\n", 403},
		{"POST /cache/flush", auth + "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415},
		{"POST /cache/flush?address=" + strings.Repeat("x", 1<<17), auth, 431},
		{"POST /cache/flush", auth + "Content-Length: 999999999\r\n", 413},
		{"POST /cache/flush", auth + "Content-Length: x\r\n", 400},
		{"POST /cache/flush", auth + "Transfer-Encoding: chunked\r\n\r\nzz", 400},
		{"rubbish", "", 400},
	} {
		if r.status == 413 {
			r.headers += "\r\n" + strings.Repeat("x", 128<<10+1)
		}
		a := p.Say(t, r.line+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+r.headers+"\r\n")
		if a.Status != r.status {
			t.Errorf("%.80s, %q: %d %q, want %d", r.line, r.headers[:min(80, len(r.headers))], a.Status, a.Body, r.status)
		}
		if allow := a.Header.Get("Allow"); (allow == "POST") != (r.status == 405) {
			t.Errorf("%.80s: Allow: %q", r.line, allow)
		}
		if (a.Header.Get("WWW-Authenticate") != "") != (r.status == 401) {
			t.Errorf("%.80s: %v", r.line, a.Header)
		}
	}
	p.knows(t, "adam anna carla nobody")
	if n := p.log.Count("a request without the token"); n != 1 {
		t.Errorf("%d lines of the log about requests without the token, want one a minute", n)
	}
	if p.log.Logged(testbed.GoodToken) {
		t.Error("the token is in the log")
	}
	for _, auth := range []string{"bearer ", "BEARER   "} {
		if a := p.Say(t, "POST /cache/flush?all HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "+auth+testbed.GoodToken+"\r\n\r\n"); a.Status != 200 {
			t.Errorf("%s: %+v", auth, a)
		}
	}
}

// A flush that a provisioning system asks of one front end reaches those that share
// memory with it.
func TestProvisioningReachesAllFrontEnds(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		socket := testbed.ShortDir(t) + "/p"
		mail1 := testbed.StartHost(t, testbed.Having("anna@example.com", "adam@example.com"))
		all, _ := startFrontEnds(t, 2, "redis://"+r.Addr(), testbed.SiteText(mail1))
		shared, _ := startFrontEnds(t, 1, "redis://"+r.Addr(), strings.Replace(testbed.SiteText(mail1), "control   = []", "control = []\nprovisioning = [\"unix:"+socket+"\"]", 1))
		p := &provisioned{d: shared[0], Provisioner: testbed.Provisioner{Network: "unix", Address: socket}}
		for _, mailbox := range []string{"anna@example.com", "adam@example.com"} {
			all[0].wants(t, mailbox, policy.Deliver, "mail1", policy.SourceSearch)
			all[0].waitTold(t)
			all[1].waits(t, mailbox, policy.Deliver, "mail1")
		}
		a := p.Post(t, "?address=anna@example.com&address=adam@example.com", "", "")
		var f control.Flushed
		if err := json.Unmarshal([]byte(a.Body), &f); err != nil || f.Others != "told" || f.SharedWhy != "" {
			t.Errorf("%+v, %v", a, err)
		}
		for _, d := range all {
			for _, local := range []string{"anna", "adam"} {
				if !realhost.Eventually(func() bool {
					return d.memory.Recall(policy.AddressOf(local, "example.com"), time.Now()).Owner.Says == policy.Unasked
				}) {
					t.Errorf("%s is known yet", local)
				}
			}
		}
		r.Stop(t)
		if !realhost.Eventually(func() bool { return p.d.MemoryStats().SharedWhy != "" }) {
			t.Fatal("it is not noticed")
		}
		a = p.Post(t, "?all", "", "")
		if err := json.Unmarshal([]byte(a.Body), &f); err != nil || a.Status != 200 || f.Others != "later" || f.SharedWhy == "" {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
