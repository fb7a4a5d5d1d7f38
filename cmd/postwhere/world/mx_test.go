package world

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/foxcpp/go-mockdns"
)

func TestMXHosts(t *testing.T) {
	mx := func(pairs ...any) mockdns.Zone {
		var z mockdns.Zone
		for i := 0; i < len(pairs); i += 2 {
			z.MX = append(z.MX, net.MX{Pref: uint16(pairs[i].(int)), Host: pairs[i+1].(string)})
		}
		return z
	}
	for _, c := range []struct {
		name string
		zone mockdns.Zone
		own  []string
		want string // or the error
	}{
		{"by preference, then by name", mx(20, "c.example.", 10, "b.example.", 10, "A.example.", 5, "z.example."), nil, "z.example a.example b.example c.example"},
		{"the same order whatever the server's", mx(10, "A.example.", 5, "z.example.", 20, "c.example.", 10, "b.example."), nil, "z.example a.example b.example c.example"},
		{"preferences beyond int16", mx(65535, "b.example.", 40000, "a.example.", 0, "c.example."), nil, "c.example a.example b.example"},
		{"a name twice counts once, at its best", mx(20, "a.example.", 10, "b.example.", 5, "A.example."), nil, "a.example b.example"},
		{"our own names are left out", mx(10, "front.example.", 20, "mail1.example.", 30, "FRONT2.example."), []string{"Front.example", "front2.example."}, "mail1.example"},
		{"a name that is like ours is not ours", mx(10, "front.example.net.", 20, "afront.example."), []string{"front.example"}, "front.example.net afront.example"},
		{"null MX", mx(0, "."), nil, "no MX host for example.com but this machine: name the hosts in [[domain]] hosts"},
		{"nobody but us", mx(10, "front.example."), []string{"front.example"}, "no MX host for example.com but this machine: name the hosts in [[domain]] hosts"},
		{"no answer", mockdns.Zone{Err: errors.New("server misbehaving")}, nil, "the MX hosts of example.com cannot be looked up: server misbehaving"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &mockdns.Resolver{Zones: map[string]mockdns.Zone{"example.com.": c.zone}}
			names, err := mxHosts(t.Context(), r, "example.com.", c.own)
			got := strings.Join(names, " ")
			if err != nil {
				got = strings.ReplaceAll(err.Error(), "example.com.", "example.com")
			}
			if got != c.want || err != nil && names != nil {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A name server that says some, and that others were broken, has not said all:
// the host that has the mailbox may be among those.
func TestIncompleteMXIsNoMX(t *testing.T) {
	r := lookupFunc(func(context.Context, string) ([]*net.MX, error) {
		return []*net.MX{{Host: "mail1.example.", Pref: 10}}, errors.New("DNS response contained records which contain invalid names")
	})
	if names, err := mxHosts(t.Context(), r, "example.com", nil); err == nil {
		t.Errorf("got %v", names)
	}
}

// lookupFunc makes an mxResolver of a function.
type lookupFunc func(context.Context, string) ([]*net.MX, error)

func (f lookupFunc) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return f(ctx, name)
}

// stagedDNS answers when the test says what.
type stagedDNS struct {
	asked   chan struct{}
	answers chan dnsAnswer
}

type dnsAnswer struct {
	hosts []string
	err   error
}

func newStagedDNS() *stagedDNS { return &stagedDNS{make(chan struct{}), make(chan dnsAnswer)} }

func (d *stagedDNS) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) {
	select {
	case d.asked <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case a := <-d.answers:
		var records []*net.MX
		for i, host := range a.hosts {
			records = append(records, &net.MX{Host: host, Pref: uint16(i)})
		}
		return records, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// says answers the look-up that is under way, and returns when the next one is:
// then the answer has been taken in.
func (d *stagedDNS) says(hosts []string, err error) {
	d.answers <- dnsAnswer{slices.Clone(hosts), err}
	<-d.asked
}
