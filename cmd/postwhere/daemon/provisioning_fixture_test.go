package daemon

import (
	"os"
	"strings"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// provisioned is a daemon with two hosts, and where a provisioning system asks it: over
// TCP with a token, or by a socket without. anna is at mail1, carla at mail2, and both
// are remembered, and so is that nobody has nobody.
type provisioned struct {
	testbed.Provisioner
	d    *Daemon
	log  *testbed.Recorder
	text string // of the configuration
}

func startProvisioned(t *testing.T, network string) *provisioned {
	t.Helper()
	mail1, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com", "adam@example.com")), testbed.StartHost(t, testbed.Having("carla@example.com"))
	dir := testbed.ShortDir(t)
	p := &provisioned{Provisioner: testbed.Provisioner{Network: network}, text: strings.Replace(testbed.SiteText(mail1, mail2), "control   = []", "control = []\nprovisioning = [\"unix:"+dir+"/p\"]", 1)}
	if network == "tcp" {
		token := dir + "/token"
		if err := os.WriteFile(token, []byte(testbed.GoodToken+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.Auth = "Bearer " + testbed.GoodToken
		p.text = strings.Replace(p.text, "unix:"+dir+"/p", "inet:127.0.0.1:0", 1) + "[provisioning]\ntoken_file = \"" + token + "\"\n"
	}
	p.d, p.log = startDaemon(t, p.text)
	p.Address = p.d.AddressOf("provisioning")
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

// knows wants that of the addresses that were learnt these are remembered.
func (p *provisioned) knows(t *testing.T, want string) {
	t.Helper()
	var known []string
	for _, local := range []string{"adam", "anna", "carla", "nobody"} {
		if m := p.d.memory.Recall(policy.AddressOf(local, "example.com"), time.Now()); m.Owner.Says == policy.Yes || len(m.Answers) > 0 {
			known = append(known, local)
		}
	}
	if got := strings.Join(known, " "); got != want {
		t.Errorf("remembered: %q, want %q", got, want)
	}
}
