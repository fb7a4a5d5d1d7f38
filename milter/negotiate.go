package milter

import (
	"sync"

	gomilter "github.com/d--j/go-milter"
)

// unneeded are the events that we do without, and the replies that no event but
// RCPT TO needs: an MTA that knows them sends the client's address, its EHLO name
// and the sender along, and does not wait. Recipients that it has refused itself it
// shows only to who asks for them (SMFIP_RCPT_REJ), as we do not.
const unneeded = gomilter.OptNoBody | gomilter.OptNoHeaders | gomilter.OptNoEOH | gomilter.OptNoUnknown | gomilter.OptNoData |
	gomilter.OptNoReplies&^gomilter.OptNoRcptReply

// options are go-milter's, by which every connection begins.
func (f *face) options() []gomilter.Option {
	return []gomilter.Option{
		gomilter.WithNegotiationCallback(f.negotiate),
		gomilter.WithDynamicMilter(f.newSession),
		gomilter.WithMacroRequest(gomilter.StageMail, []gomilter.MacroName{gomilter.MacroAuthAuthen}),
		gomilter.WithMacroRequest(gomilter.StageRcpt, []gomilter.MacroName{
			gomilter.MacroQueueId, gomilter.MacroRcptMailer, gomilter.MacroRcptAddr,
		}),
	}
}

// negotiate takes of what an MTA offers what we need, and does with less where it
// offers less: then it sends more events, and waits for more replies. The end of a
// message cannot be switched off.
func (f *face) negotiate(
	mtaVersion, ourVersion uint32, mtaActions, _ gomilter.OptAction, mtaProtocol, _ gomilter.OptProtocol, _ gomilter.DataSize,
) (uint32, gomilter.OptAction, gomilter.OptProtocol, gomilter.DataSize, error) {
	actions := gomilter.OptSetMacros
	if f.header() != "" {
		actions |= gomilter.OptAddHeader
	}
	return min(mtaVersion, ourVersion), actions & mtaActions, unneeded & mtaProtocol, gomilter.DataSize64K, nil
}

// silenceLibrary keeps go-milter, whose log is one variable for all, from writing to
// the program's standard error. What goes wrong on a connection the wire tells, with
// the peer's name.
var silenceLibrary = sync.OnceFunc(func() {
	gomilter.LogWarning = func(string, ...any) {}
})
