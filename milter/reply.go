package milter

import (
	gomilter "github.com/d--j/go-milter"

	"postwhere/policy"
	"postwhere/policy/server"
)

// respFault is what the client hears of a fault of ours. (The library's RespTempFail
// would say 4.7.1, which is about policy.)
var respFault = mustReply(policy.Reply{Code: 451, Enhanced: "4.3.0", Text: "Temporary fault, try again later"})

// lastReply is the reply that was made last: most are alike, and making one costs
// more than a look into memory. The zero value is ready for use.
type lastReply struct {
	verdict policy.Verdict
	reply   policy.Reply // the finding's
	resp    *gomilter.Response
}

// response returns what a finding means for the recipient: continue, or a reply
// with both its codes and a text.
func (l *lastReply) response(f policy.Finding) *gomilter.Response {
	switch f.Verdict {
	case policy.Deliver, policy.Pass:
		return gomilter.RespContinue
	}
	if l.resp == nil || l.verdict != f.Verdict || l.reply != f.Reply {
		resp, err := reply(server.Reply(f))
		if err != nil { // it would be no reply to a recipient
			resp = respFault
		}
		*l = lastReply{f.Verdict, f.Reply, resp}
	}
	return l.resp
}

// reply returns a reply in one line. The library doubles each %, by which
// libmilter's format strings begin a directive, also to Postfix.
func reply(r policy.Reply) (*gomilter.Response, error) {
	return gomilter.RejectWithCodeAndReason(uint16(r.Code), r.Enhanced+" "+r.Text) //nolint:gosec // a reply's code
}

func mustReply(r policy.Reply) *gomilter.Response {
	resp, err := reply(r)
	if err != nil {
		panic(err)
	}
	return resp
}
