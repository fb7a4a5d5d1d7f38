// Package attach works out what attaches postwhere to the Postfix of a machine, or to its
// Sendmail. It reads, and changes nothing: package postfix does, on request.
package attach

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/postfix"
)

// Way is a way to attach postwhere to Postfix.
type Way uint8

// The ways. Each but ByMapOnly asks at the door, and routes from memory.
const (
	ByPolicy       Way = iota // check_policy_service
	ByMilter                  // smtpd_milters
	ByRecipientMap            // relay_recipient_maps
	ByMapOnly                 // the transport map says every verdict
	ByMesh                    // ByPolicy, and an inner door for the peers
	Detached                  // not at all: what names us goes, relay_domains stays
)

// attachedBy are the parameters of main.cf that attach us.
var attachedBy = []string{
	"relay_domains", "transport_maps", "smtpd_recipient_restrictions", "smtpd_milters", "relay_recipient_maps",
}

// Detaches tells whether Detached takes what is ours out of a parameter.
func Detaches(parameter string) bool {
	return parameter != "relay_domains" && slices.Contains(attachedBy, parameter)
}

// OtherClasses are the parameters of domains that are not relayed.
var OtherClasses = []string{"mydestination", "virtual_mailbox_domains", "virtual_alias_domains"}

// Read reads what an attachment depends on, of the instance in dir, "" for the
// one that Postfix's commands take.
func Read(ctx context.Context, dir string) (postfix.Conf, error) {
	conf, err := postfix.Read(ctx, dir, slices.Concat(attachedBy, OtherClasses, []string{"queue_directory"})...)
	if err == nil {
		err = conf.ReadOwn(ctx, meshClients, meshFilter)
	}
	return conf, err
}

// freshPostfix stands for a Postfix that cannot be read.
func freshPostfix() postfix.Conf {
	return postfix.Conf{Services: []postfix.Service{{Name: "smtp", Type: "inet", Command: "smtpd"}}}
}

// attacher works out what there is to change, so that a Postfix is attached in one
// way and in no other. What is as it has to be is left alone.
type attacher struct {
	Spelling
	cfg  *config.Config
	way  Way
	conf postfix.Conf
	mesh mesh
	Plan
}

// Plan is what there is to do. The zero value is nothing.
type Plan struct {
	Edits   []postfix.Edit
	Minds   []string // what the administrator is to know
	Hinders []string // why mail would come to a stop by it
}

// Changes tells whether there is anything to do.
func (a Plan) Changes() bool {
	return slices.ContainsFunc(a.Edits, func(e postfix.Edit) bool { return len(e.Args) > 0 || e.File != "" })
}

// PlanFor returns what attaches postwhere in one way to the Postfix that conf was read
// of, by Read. The error says what the configuration lacks for it.
func PlanFor(ctx context.Context, cfg *config.Config, way Way, conf postfix.Conf) (Plan, error) {
	a := &attacher{Spelling: SpellingFor(conf), cfg: cfg, way: way, conf: conf}
	switch {
	case len(cfg.Listen.Socketmap) == 0:
		return Plan{}, fmt.Errorf("listen.socketmap is empty: Postfix needs it to find the way to a mailbox")
	case (way == ByPolicy || way == ByMesh) && len(cfg.Listen.Policy) == 0:
		return Plan{}, fmt.Errorf("listen.policy is empty: name a listener, or take --recipient-map or --map-only")
	case way == ByMilter && len(cfg.Listen.Milter) == 0:
		return Plan{}, fmt.Errorf("listen.milter is empty: name a listener, or take another way")
	case way == ByMesh:
		m, err := meshOf(cfg)
		if err != nil {
			return Plan{}, err
		}
		a.mesh = m
	}
	a.domains(ctx)
	a.routes()
	a.judges()
	a.doors()
	if way == ByMesh {
		a.innerDoor()
	} else {
		a.noInnerDoor()
	}
	if name := cfg.Postfix.Transport; name != "smtp" && way != Detached {
		a.movingTransport(name)
	}
	a.jailed()
	return a.Plan, nil
}

func (a *attacher) change(why []string, args ...string) {
	a.Edits = append(a.Edits, postfix.Edit{Why: why, Args: args})
}

func (a *attacher) mind(format string, args ...any) {
	a.Minds = append(a.Minds, fmt.Sprintf(format, args...))
}

// set gives a parameter a value, unless it has it. None of those that we set has a
// value by default.
func (a *attacher) set(parameter, value string, why ...string) {
	switch {
	case value == a.conf.Raw(parameter):
	case value == "":
		a.change(why, "-X", parameter)
	default:
		a.change(why, "-e", parameter+" = "+value)
	}
}

// domains has Postfix relay for our domains.
func (a *attacher) domains(ctx context.Context) {
	if a.way == Detached {
		return
	}
	list := a.conf.Raw("relay_domains")
	for _, d := range a.cfg.Domain {
		for _, name := range d.Name {
			if meant := a.conf.Value("relay_domains"); !strings.Contains(meant, ":domain") && !postfix.Has(ctx, meant, name) {
				list = postfix.Insert(list, len(postfix.Words(list)), name)
			}
			for _, p := range OtherClasses {
				if postfix.Has(ctx, a.conf.Value(p), name) {
					a.mind("%s is in %s: take it out there, for it is to be relayed", name, p)
				}
			}
		}
	}
	why := []string{"The domain is relayed, and postwhere says where to."}
	if a.way == ByMesh {
		why = []string{
			"On each machine of the mesh. The domain must be in none of mydestination, virtual_mailbox_domains and",
			"virtual_alias_domains: the front door relays it. What has a mailbox in virtual_mailbox_maps is delivered here,",
			"and for all else postwhere says where to.",
		}
	}
	a.set("relay_domains", list, why...)
}

// routes puts our map first in transport_maps, behind the tables of a mesh's machine.
func (a *attacher) routes() {
	var ours []string
	if a.way == ByMesh {
		ours = append(ours, a.mesh.localFirst())
	}
	if a.way != Detached {
		ours = append(ours, a.socketmap("transport"))
	}
	isOurs := func(words []string, i int) int {
		if a.Names(words[i], a.cfg.Listen.Socketmap, ":transport") || isLocalFirst(words[i]) {
			return 1
		}
		return 0
	}
	a.put("transport_maps", isOurs, ours, first, nil)
}

// socketmap returns one of our maps as Postfix names it.
func (a *attacher) socketmap(table string) string {
	return "socketmap:" + a.Of(a.cfg.Listen.Socketmap[0]) + ":" + table
}

// judges puts one of our faces in charge at the door.
func (a *attacher) judges() {
	var policy, milter, recipients []string
	var why []string
	switch a.way {
	case ByPolicy, ByMesh:
		patience := time.Duration(a.cfg.Search.Deadline) + 10*time.Second
		policy = []string{fmt.Sprintf("check_policy_service {%s, timeout=%.0fs}", a.Of(a.cfg.Listen.Policy[0]), patience.Seconds())}
		why = []string{"Unknown recipients are refused at the door. A verdict may take a while: hosts are asked."}
	case ByMilter:
		milter = []string{fmt.Sprintf("{%s, protocol=6, default_action=tempfail}", a.Of(a.cfg.Listen.Milter[0]))}
		why = []string{
			"Unknown recipients are refused at the door, and 4xx is said while postwhere is away. Never put it into",
			"non_smtpd_milters: there no recipient can be refused, and the message is tried for ever.",
		}
	case ByRecipientMap:
		recipients = []string{a.socketmap("recipient")}
		why = []string{
			"Unknown recipients are refused at the door. Postfix folds the address for this map, to lower case and ß to ss:",
			"a mailbox that its host has by another spelling alone is not found.",
		}
	case ByMapOnly:
		a.change([]string{
			"The transport map refuses unknown recipients, too. Mind that an smtpd remembers what the map said,",
			"a 4xx as well, for as long as its process lives (at most 100 sessions, or 100 s without any).",
		})
	case Detached:
	}
	a.put("smtpd_recipient_restrictions", a.ourPolicy, policy, a.beforeSettled, why)
	a.put("smtpd_milters", a.ourMilter, milter, func(words []string) int { return len(words) }, why)
	a.put("relay_recipient_maps", a.ourRecipients, recipients, first, why)
}

// put has ours, and nothing else of ours, in a list, at the place that a function
// finds in it.
func (a *attacher) put(parameter string, isOurs ourWords, ours []string, place func(words []string) int, why []string) {
	raw, meant := a.conf.Raw(parameter), a.conf.Value(parameter)
	without := func(list string) string { return replaced(list, isOurs, nil, 0) }
	if len(ours) == 0 {
		why = []string{"Another way to attach."}
	}
	switch want := replaced(raw, isOurs, ours, place(postfix.Words(raw))); {
	case want == raw && len(ours) == 0 && without(meant) != meant:
		a.mind("%s asks postwhere by way of another parameter (%s): take it out there", parameter, raw)
	case want != raw && without(raw) == raw && replaced(meant, isOurs, ours, 0) == meant:
		// By way of another parameter it is as it has to be.
	default:
		a.set(parameter, want, why...)
	}
}

func first([]string) int { return 0 }

// ourWords returns how many words from i on are ours.
type ourWords func(words []string, i int) int

func (a *attacher) ourPolicy(words []string, i int) int {
	if words[i] == "check_policy_service" && i+1 < len(words) && a.Names(words[i+1], a.cfg.Listen.Policy, "") {
		return 2
	}
	return 0
}

func (a *attacher) ourMilter(words []string, i int) int {
	if a.Names(words[i], a.cfg.Listen.Milter, "") {
		return 1
	}
	return 0
}

func (a *attacher) ourRecipients(words []string, i int) int {
	if a.Names(words[i], a.cfg.Listen.Socketmap, ":recipient") {
		return 1
	}
	return 0
}

// beforeSettled returns the index, in smtpd_recipient_restrictions as it is written, of
// the first word behind which nobody is asked. If that is hidden in a parameter that is
// referred to, it is the first of these.
func (a *attacher) beforeSettled(words []string) int {
	if i := slices.IndexFunc(words, Settles); i >= 0 {
		return i
	}
	if slices.ContainsFunc(postfix.Words(a.conf.Value("smtpd_recipient_restrictions")), Settles) {
		if i := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, "$") }); i >= 0 {
			return i
		}
	}
	return len(words)
}

// replaced returns a list that has ours in place of what is ours in it, or at an
// index if nothing is. A list that has just ours stays as it is.
func replaced(list string, isOurs ourWords, ours []string, at int) string {
	words := postfix.Words(list)
	var present []string
	rest := list
	instead := -1
	for i := len(words) - 1; i >= 0; i-- {
		if n := isOurs(words, i); n > 0 {
			present = append(present, strings.Join(words[i:i+n], " "))
			rest, instead = postfix.Cut(rest, i, n), i
		}
	}
	slices.Reverse(present)
	if slices.Equal(present, ours) {
		return list
	}
	if instead >= 0 {
		at = instead
	}
	if len(ours) == 0 {
		return rest
	}
	return postfix.Insert(rest, at, strings.Join(ours, " "))
}
