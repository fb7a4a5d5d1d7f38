package check

import (
	"cmp"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/attach"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/postfix"
)

// judges are the parameters by which one is asked at the door, with the face that
// they ask.
var judges = map[string]string{
	"smtpd_recipient_restrictions": "policy", "smtpd_relay_restrictions": "policy", "smtpd_milters": "milter", "relay_recipient_maps": "socketmap",
}

// door looks at who judges a recipient at RCPT TO. routed tells whether
// transport_maps asks us.
func (k *checkup) door(routed bool) {
	by := make(map[string]bool)
	for _, a := range k.attached {
		service, parameter, own := cutLast(a.parameter, "/")
		if !own {
			parameter = service
		}
		if face := judges[parameter]; face != "" {
			by[face] = true
		}
	}
	byAnyone := len(by) > 0
	switch {
	case !byAnyone && !routed:
		k.note("postfix", "nothing asks postwhere about recipients: see `postwhere postfix`")
	case !byAnyone:
		k.note("postfix", "nothing but the transport map judges recipients (map only): an smtpd remembers what it said, see `postwhere postfix`")
	case !slices.ContainsFunc(k.conf.Services, func(s postfix.Service) bool { _, has := s.Option("rewrite_service_name"); return has }):
		k.note("postfix", "the door shares its trivial-rewrite with the queue manager, so sessions wait for each other in the map: see `postwhere postfix`")
	default:
		k.ok("postfix", "asks at the door and routes from memory")
	}
	k.restrictions()
	k.overrides(by)
	if by["policy"] && by["milter"] {
		k.note("postfix", "both the policy service and the milter are asked about each recipient: one of them is enough")
	}
	if k.Names(k.conf.Value("non_smtpd_milters"), k.cfg.Listen.Milter, "") {
		k.fail("postfix", "non_smtpd_milters asks postwhere: take it out, only smtpd can refuse a recipient")
	}
	if maps := k.conf.Value("relay_recipient_maps"); maps != "" && !k.Names(maps, k.cfg.Listen.Socketmap, ":recipient") {
		k.fail("postfix", "relay_recipient_maps (%s) refuses all recipients of our domains that are not in it: add postwhere's, see `postwhere postfix --recipient-map`", maps)
	}
	k.rewritten(by)
}

// rewritten: the policy service and the milter are asked before cleanup(8).
func (k *checkup) rewritten(by map[string]bool) {
	if !by["policy"] && !by["milter"] {
		return
	}
	who := "the policy service"
	if !by["policy"] {
		who = "the milter"
	}
	for _, p := range []string{"virtual_alias_maps", "recipient_canonical_maps", "canonical_maps"} {
		if k.conf.Value(p) != "" {
			k.note("postfix", "%s is set, and %s is asked about addresses before they are rewritten: if our domains have aliases there, judge by `postwhere postfix --recipient-map`", p, who)
		}
	}
}

// restrictions looks at what else is said in the lists that the policy service is in,
// and in the one before it.
func (k *checkup) restrictions() {
	for _, p := range []string{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"} {
		k.settled(p, k.conf.Value(p))
		for _, s := range k.conf.Services {
			if value, own := s.Option(p); own {
				k.settled(s.Key()+"/"+p, value)
			}
		}
	}
	// Postfix evaluates it before smtpd_recipient_restrictions, and what it refuses
	// by a bare word is refused to all whom nothing has permitted before.
	for _, word := range postfix.Words(k.conf.Value("smtpd_relay_restrictions")) {
		switch strings.ToLower(word) {
		case "permit", "permit_auth_destination", "reject_unauth_destination", "defer_unauth_destination":
			return
		case "reject", "defer":
			k.fail("postfix", "smtpd_relay_restrictions says %q to whom it has not permitted, so mail for our domains is refused to everybody else: say reject_unauth_destination", word)
			return
		}
	}
}

// settled looks whether a list of restrictions settles the matter before we are asked.
func (k *checkup) settled(where, restrictions string) {
	if word := settledBefore(restrictions, func(rest string) bool { return k.Names(rest, k.cfg.Listen.Policy, "") }); word != "" {
		k.fail("postfix", "%s has %q before the policy service, which is never asked: put it behind", where, word)
	}
}

// settledBefore returns the word of a list of restrictions that settles the matter
// before one is asked, "" if none does.
func settledBefore(restrictions string, asks func(rest string) bool) string {
	words := postfix.Words(restrictions)
	for i, word := range words {
		if attach.Settles(word) {
			if asks(strings.Join(words[i:], " ")) {
				return word
			}
			return ""
		}
	}
	return ""
}

// overrides looks at services of smtpd(8) that have rules of their own. by has the
// faces that are asked.
func (k *checkup) overrides(by map[string]bool) {
	for _, s := range k.conf.Services {
		if s.Command != "smtpd" || attach.IsInnerDoor(s) {
			continue
		}
		for _, o := range s.Options {
			switch {
			case o.Name == "relay_domains" || o.Name == "transport_maps" || o.Name == "mydestination":
				k.note("postfix", "%s has its own %s in master.cf (%s): there our domains may not be ours", s.Key(), o.Name, cmp.Or(o.Value, "empty"))
			case !by[judges[o.Name]] || strings.Contains(o.Value, "$"+o.Name) || o.Name == "smtpd_relay_restrictions":
			case k.Names(o.Value, k.listenersOf(judges[o.Name]), ""):
			case by["socketmap"] && by["policy"]: // asked in another way
			default:
				k.note("postfix", "%s has its own %s in master.cf (%s), and does not ask postwhere by it: there the transport map alone judges recipients, and not at all behind a rewrite_service_name", s.Key(), o.Name, cmp.Or(o.Value, "empty"))
			}
		}
	}
}

// listenersOf returns where a face listens.
func (k *checkup) listenersOf(face string) []config.Listener {
	switch face {
	case "policy":
		return k.cfg.Listen.Policy
	case "milter":
		return k.cfg.Listen.Milter
	}
	return k.cfg.Listen.Socketmap
}

// jailed looks for daemons that cannot reach our sockets from their chroot.
func (k *checkup) jailed() {
	for _, s := range k.conf.Services {
		for _, face := range k.askedFrom(s) {
			if text := attach.Unreachable(k.Spelling, s, face, k.listenersOf(face)); text != "" {
				k.fail("postfix", "%s", text)
			}
		}
	}
}

// askedFrom returns the faces that a service asks.
func (k *checkup) askedFrom(s postfix.Service) []string {
	var faces []string
	for _, a := range k.attached {
		door := judges[a.parameter] != "" && s.Command == "smtpd"
		route := a.parameter == "transport_maps" && s.Key() == "rewrite/unix"
		if (door || route) && !slices.Contains(faces, a.face) {
			faces = append(faces, a.face)
		}
	}
	return faces
}

// cutLast cuts a text at the last separator.
func cutLast(text, at string) (head, tail string, found bool) {
	if i := strings.LastIndex(text, at); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}
