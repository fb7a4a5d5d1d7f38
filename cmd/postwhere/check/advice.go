package check

import "regexp"

// What keeps a host from telling, as its reply has it. This decides nothing: it is
// for the reader, beside the reply itself.
var (
	refusesRelay = regexp.MustCompile(`(?i)\brelay`)
	refusesUs    = regexp.MustCompile(`(?i)block|denied|deny|\brbl\b|spam|reputation|client|access|\bban|too many|rate|limit`)
	wantsAuth    = regexp.MustCompile(`(?i)authent|starttls|\btls\b|encrypt`)
	wantsName    = regexp.MustCompile(`(?i)\bhelo\b|\behlo\b|reverse|\bptr\b|resolve`)
	looksFirst   = regexp.MustCompile(`(?i)greylist|grey list|verif`)
)

// adviceOn says what to do about a host that cannot be calibrated, "" if one cannot
// tell.
func adviceOn(why, domain string) string {
	switch {
	case refusesRelay.MatchString(why):
		return ": it takes no mail for " + domain + " from this machine. Is it a mail host of the domain? Then let it have " + domain +
			" among its own (Postfix: virtual_mailbox_domains, mydestination, or relay_domains with relay_recipient_maps), and its mailboxes"
	case wantsAuth.MatchString(why):
		return ": say tls, user and secret_file of that host, or let it take this machine without"
	case wantsName.MatchString(why):
		return ": give probe.helo_name, and this machine's address, names that resolve"
	case looksFirst.MatchString(why):
		return ": exempt this machine from greylisting and the like there"
	case refusesUs.MatchString(why):
		return ": let it take this machine in (its block lists, fail2ban, postscreen, limits)"
	}
	return ""
}
