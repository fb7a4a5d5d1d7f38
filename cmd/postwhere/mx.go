package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// mxTime bounds an MX look-up: without a name server in reach it fails, and not
// some time.
const mxTime = 10 * time.Second

// errNoMX: a domain without hosts of its own.
var errNoMX = errors.New("no MX host")

// mxResolver is what of a net.Resolver is needed.
type mxResolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

// mxHosts returns the MX hosts of a domain in order of preference, those of one
// preference by name so that the order is the same each time, without this
// machine's own names. None at all is an error: nobody must conclude from an
// empty list that nobody has a mailbox.
func mxHosts(ctx context.Context, r mxResolver, domain string, own []string) ([]string, error) {
	records, err := r.LookupMX(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("the MX hosts of %s cannot be looked up: %w", domain, err)
	}
	slices.SortFunc(records, func(a, b *net.MX) int {
		if a.Pref != b.Pref {
			return int(a.Pref) - int(b.Pref)
		}
		return strings.Compare(strings.ToLower(a.Host), strings.ToLower(b.Host))
	})
	var names []string
	for _, mx := range records {
		name := strings.ToLower(strings.TrimSuffix(mx.Host, "."))
		if name == "" || slices.Contains(names, name) { // "." is a null MX (RFC 7505)
			continue
		}
		if !slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(strings.TrimSuffix(o, "."), name) }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w for %s but this machine: name the hosts in [[domain]] hosts", errNoMX, domain)
	}
	return names, nil
}
