package check

import (
	"crypto/x509"
	"errors"
	"regexp"
	"syscall"

	"postwhere/cmd/postwhere/config"
	"postwhere/probe"
)

// What keeps a host from telling, as its reply has it. This decides nothing: it is
// for the reader, beside the reply itself.
var (
	refusesRelay = regexp.MustCompile(`(?i)\brelay`)
	refusesUs    = regexp.MustCompile(`(?i)block|denied|deny|\brbl\b|spam|reputation|client|access|\bban|too many|rate|limit`)
	wantsAuth    = regexp.MustCompile(`(?i)authent|\bauth\b`)
	wantsTLS     = regexp.MustCompile(`(?i)starttls|\btls\b|encrypt`)
	wantsName    = regexp.MustCompile(`(?i)\bhelo\b|\behlo\b|reverse|\bptr\b|resolve`)
	tellsByRCPT  = regexp.MustCompile(`(?i)\bvrfy\b`)
	hasTrouble   = regexp.MustCompile(`\b4\d\d 4\.3\.\d`)
	looksFirst   = regexp.MustCompile(`(?i)greylist|grey list|verif`)
)

// Why a host could not be asked at all.
var (
	noSender     = regexp.MustCompile(`MAIL FROM was refused`)
	noLogin      = regexp.MustCompile(`neither AUTH PLAIN nor LOGIN`)
	wrongLogin   = regexp.MustCompile(`\bAUTH\b`)
	noSTARTTLS   = regexp.MustCompile(`does not offer STARTTLS`)
	noTLSAround  = regexp.MustCompile(`first record does not look like a TLS handshake`)
	wrongHost    = regexp.MustCompile(`(?i)certificate|fingerprint`)
	otherPrint   = regexp.MustCompile(`none of tls_fingerprints`)
	noGreeting   = regexp.MustCompile(`no greeting`)
	refused      = regexp.MustCompile(`the host refuses us`)
	knowsNoEHLO  = regexp.MustCompile(`\b50[0-4]\b`)
	noMinger     = regexp.MustCompile(`no Minger server|it was asked \d+ times`)
	sharedSecret = regexp.MustCompile(`shared secret`)
)

// adviceOnFailure says what to do about a host that could not be asked. c are its settings,
// and section is where they stand.
func adviceOnFailure(err error, c config.Host, section string) string {
	why := err.Error()
	switch {
	case c.BindAddress != "" && errors.Is(err, syscall.EADDRNOTAVAIL):
		return "This machine has no address " + c.BindAddress + ": let bind_address in " + section + " be one that it has, or leave it out."
	case noSender.MatchString(why):
		return adviceOnSender(why, c, section)
	case noLogin.MatchString(why):
		return "Leave user and secret_file out of " + section + ", or name the port where it takes a login, as 587."
	case wrongLogin.MatchString(why):
		return "Are user and secret_file in " + section + " right, and may that user log in there?"
	case noSTARTTLS.MatchString(why) && c.User != "":
		return "A login wants TLS: name the port where it offers STARTTLS, as 587, or where TLS begins at once, as 465, with tls_wrappermode = true in " + section + "; or let it take this machine without user."
	case noSTARTTLS.MatchString(why):
		return "Say tls = \"may\" in " + section + " if it may be asked without TLS, or tls_wrappermode = true if TLS begins at once there, as at port 465."
	case noTLSAround.MatchString(why):
		return "TLS does not begin at once there: leave tls_wrappermode out of " + section + ", or name the port where it does."
	case wrongHost.MatchString(why):
		return adviceOnCertificate(err, section)
	case refused.MatchString(why) && knowsNoEHLO.MatchString(why):
		return "Does it speak LMTP? Then say probe = \"lmtp:inet:HOST:PORT\" in " + section + ". Else it must let this machine in."
	case refused.MatchString(why):
		return "Let it take this machine in (its block lists, fail2ban, postscreen, limits)."
	case noGreeting.MatchString(why):
		return "Does it hang, or is it another service? If TLS begins at once there, as at port 465, say tls_wrappermode = true in " + section + "."
	case noMinger.MatchString(why):
		return "Does its Minger server run, at that UDP port, and may this machine ask it?"
	}
	return "Is its name right, is it up, and may this machine connect?"
}

// adviceOnCertificate is adviceOnFailure of a host whose certificate is not accepted.
func adviceOnCertificate(err error, section string) string {
	const ifRight = "Is it the right host? Then say in "
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.HostnameError)):
		return ifRight + section + " by tls_name which name its certificate has, or tls_fingerprints if it has none."
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return ifRight + section + " by tls_ca_file which authority has signed it, or tls_fingerprints if none has."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "Renew its certificate, if the clock here is right, or say in " + section + " tls_fingerprints, for which it may be of any age."
	case otherPrint.MatchString(err.Error()):
		return ifRight + section + " the fingerprint of its certificate of today."
	}
	return ifRight + section + " how it is known: tls_name, tls_ca_file or tls_fingerprints."
}

// adviceOnSender is adviceOnFailure of a host that refuses MAIL FROM.
func adviceOnSender(why string, c config.Host, section string) string {
	switch {
	case wantsAuth.MatchString(why) && c.User == "":
		return "Say user and secret_file in " + section + ", with tls = \"encrypt\", or let it take this machine without."
	case wantsTLS.MatchString(why):
		return "Say tls = \"encrypt\" in " + section + "."
	}
	return "Let it take this machine in, or say in probe.sender a sender that it takes mail from."
}

// adviceOn says what to do about a host that cannot be calibrated, "" if one cannot
// tell. c is what was learnt of it, and section is where its settings stand.
func adviceOn(c probe.Calibration, domain, section string) string {
	switch {
	case c.Method == probe.VRFY && tellsByRCPT.MatchString(c.Why): // which was not tried: the settings say so
		return ": leave method out of " + section + ", or say method = \"rcpt\": what it does not tell by VRFY it may tell by RCPT"
	case sharedSecret.MatchString(c.Why):
		return ": say in secret_file of that host the secret that it shares with those who may ask it"
	case refusesRelay.MatchString(c.Why):
		return ": it takes no mail for " + domain + " from this machine. Is it a mail host of the domain? Then let it have " + domain +
			" among its own (Postfix: virtual_mailbox_domains, mydestination, or relay_domains with relay_recipient_maps), and its mailboxes"
	case wantsAuth.MatchString(c.Why), wantsTLS.MatchString(c.Why):
		return ": say tls, user and secret_file of that host, or let it take this machine without"
	case wantsName.MatchString(c.Why):
		return ": give probe.helo_name, and this machine's address, names that resolve"
	case looksFirst.MatchString(c.Why):
		return ": exempt this machine from greylisting and the like there"
	case hasTrouble.MatchString(c.Why):
		return ": it has a trouble of its own, of which its log may tell"
	case refusesUs.MatchString(c.Why):
		return ": let it take this machine in (its block lists, fail2ban, postscreen, limits)"
	}
	return ""
}

// adviceOnControl says what to do about a host that has refused its control address.
func adviceOnControl(c probe.Calibration, section string) string {
	const advice = "Set control to an address that it has"
	if c.Method == probe.VRFY && tellsByRCPT.MatchString(c.Refusal.Text) {
		return advice + ", or leave method out of " + section + ", if it refuses every VRFY"
	}
	return advice
}
