package attach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/postfix"
)

// doorService is the trivial-rewrite(8) of the smtpd that ask us.
const doorService = "rewrite-door"

// doors gives each smtpd(8) that asks us at the door a trivial-rewrite(8) of its own.
func (a *attacher) doors() {
	why := []string{"The door resolves addresses without the map, so that sessions do not wait for each other there."}
	var in, out []string
	used := false
	for _, s := range a.conf.Services {
		if s.Command != "smtpd" {
			continue
		}
		own, has := s.Option("rewrite_service_name")
		asks := a.asks(s)
		switch {
		case asks && !has:
			in = append(in, s.Key()+"/rewrite_service_name="+doorService)
			used = true
		case asks && own == doorService:
			used = true
		case own == doorService:
			out = append(out, s.Key()+"/rewrite_service_name")
		case asks && own != innerService:
			a.mind("%s has a rewrite_service_name of its own, %s: give that transport_maps= as %s would have, or sessions wait for each other in the map", s.Key(), own, doorService)
		}
	}
	if len(out) > 0 {
		a.change([]string{"These resolve addresses with the map."}, append([]string{"-PX"}, out...)...)
	}
	_, there := a.conf.Service(doorService + "/unix")
	switch {
	case used && !there:
		a.change(why, "-M", doorService+"/unix="+doorService+" unix - - n - - trivial-rewrite -o transport_maps=")
	case !used && there:
		a.change(nil, "-MX", doorService+"/unix")
	}
	for _, one := range in {
		a.change(nil, "-P", one)
	}
}

// asks tells whether an smtpd asks us about a recipient, once main.cf says so. One
// that has been given other rules may not; then the transport map judges there.
func (a *attacher) asks(s postfix.Service) bool {
	var parameter string
	var ours func(value string) bool
	switch a.way {
	case ByPolicy, ByMesh:
		parameter, ours = "smtpd_recipient_restrictions", func(v string) bool { return a.Names(v, a.cfg.Listen.Policy, "") }
	case ByMilter:
		parameter, ours = "smtpd_milters", func(v string) bool { return a.Names(v, a.cfg.Listen.Milter, "") }
	case ByRecipientMap:
		parameter, ours = "relay_recipient_maps", func(v string) bool { return a.Names(v, a.cfg.Listen.Socketmap, ":recipient") }
	case ByMapOnly, Detached:
		return false
	}
	if IsInnerDoor(s) {
		return false
	}
	off := map[Way]string{ByMilter: "no_milters", ByRecipientMap: "no_unknown_recipient_checks"}[a.way]
	if overrides, _ := s.Option("receive_override_options"); slices.Contains(postfix.Words(overrides), off) {
		a.mind("%s has receive_override_options=%s in master.cf, and does not ask postwhere", s.Key(), overrides)
		return false
	}
	value, has := s.Option(parameter)
	if !has || ours(value) || strings.Contains(value, "$"+parameter) {
		return true
	}
	a.mind("%s has its own %s (%s) in master.cf, and does not ask postwhere: there the transport map alone judges recipients", s.Key(), parameter, cmp.Or(value, "empty"))
	return false
}

// jailed looks for daemons in a chroot from where they cannot reach a socket of ours.
func (a *attacher) jailed() {
	for _, s := range a.conf.Services {
		var face string
		var listen []config.Listener
		switch {
		case !s.Chroot || a.way == Detached:
			continue
		case s.Key() == "rewrite/unix":
			face, listen = "socketmap", a.cfg.Listen.Socketmap
		case s.Command != "smtpd":
			continue
		case a.way == ByMilter:
			face, listen = "milter", a.cfg.Listen.Milter
		case a.way == ByRecipientMap:
			face, listen = "socketmap", a.cfg.Listen.Socketmap
		case a.way == ByPolicy || a.way == ByMesh:
			face, listen = "policy", a.cfg.Listen.Policy
		}
		if text := Unreachable(a.Spelling, s, face, listen); text != "" {
			a.Hinders = append(a.Hinders, text)
		}
	}
}

// Unreachable says why a chrooted service cannot reach the first of our listeners of
// a face, "" if it can.
func Unreachable(sp Spelling, s postfix.Service, face string, listen []config.Listener) string {
	if !s.Chroot || len(listen) == 0 || listen[0].Network != "unix" {
		return ""
	}
	if _, below := sp.below(listen[0]); below {
		return ""
	}
	return fmt.Sprintf("%s runs in a chroot (the fifth column of master.cf), from where it cannot reach %s: let listen.%s be below Postfix's queue_directory, or inet:", s.Key(), listen[0], face)
}

// movingTransport makes the delivery transport for mailboxes that move: their old
// host's "no such mailbox" is a reason to try again, and then the mailbox is looked
// up again. Postfix's smtp(8) reads replies through smtp_reply_filter.
func (a *attacher) movingTransport(name string) {
	filter := "regexp:$config_directory/" + name + ".regexp"
	if s, there := a.conf.Service(name + "/unix"); there {
		if own, _ := s.Option("smtp_reply_filter"); own != filter {
			a.mind("master.cf has a transport %s already, which is left alone: see that a mailbox that has moved does not bounce there", name)
		}
		return
	}
	a.Edits = append(a.Edits, postfix.Edit{
		Why:  []string{"Mail for a mailbox that has moved away is tried again, and not bounced."},
		File: name + ".regexp", Text: `/^550([- ])5\.1\.[01](.*)/ 450${1}4.1.1$2` + "\n",
	})
	a.change(nil, "-M", name+"/unix="+name+" unix - - n - - smtp")
	a.change(nil, "-P", name+"/unix/smtp_reply_filter="+filter)
}

// Settles tells whether nobody is asked behind a restriction, for our domains.
func Settles(word string) bool {
	return slices.Contains([]string{"permit", "permit_auth_destination", "reject", "defer"}, strings.ToLower(word))
}
