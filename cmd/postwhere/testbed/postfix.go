package testbed

import (
	"slices"
	"testing"

	"postwhere/packaging/realhost"
)

// many lets a client be told no as often as it asks.
var many = []string{"smtpd_soft_error_limit=1000", "smtpd_hard_error_limit=1000"}

// Swallow starts a Postfix that delivers nothing, with a service for each list of
// options.
func Swallow(t *testing.T, services ...string) *realhost.Server {
	t.Helper()
	realhost.Need(t, "postfix")
	cfg := realhost.PostfixConfig{Main: map[string]string{
		"relay_domains": "example.com", "default_transport": "discard:", "relay_transport": "discard:",
	}}
	for _, option := range services {
		cfg.SMTP = append(cfg.SMTP, realhost.SMTPService{Options: append(slices.Clone(many), option)})
	}
	return realhost.Postfix(t, cfg)
}
