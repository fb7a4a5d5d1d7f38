// Package maillog writes the log: a line for each decision, and what concerns the program.
// It is the one place where what strangers say is made fit for a line.
package maillog

import (
	"io"
	"log"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"postwhere/policy"
)

// Log writes one line a decision, and what concerns the program. It may be used
// concurrently.
type Log struct {
	lines *log.Logger
}

// New returns a log that is written to out, with the time before each line unless out is
// the journal.
func New(out io.Writer) *Log {
	// The journal puts the time to a line; elsewhere we do.
	flags := log.LstdFlags
	if os.Getenv("JOURNAL_STREAM") != "" {
		flags = 0
	}
	return &Log{lines: log.New(out, "", flags)}
}

// Program returns a logger for what concerns no recipient.
func (m *Log) Program() *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter{m.lines}, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// lineWriter gives each write to a logger.
type lineWriter struct{ to *log.Logger }

func (w lineWriter) Write(p []byte) (int, error) {
	w.to.Print(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// Decision writes the line of one decision. What is not ours is not logged:
// Postfix asks about every sender and every foreign recipient. A recipient of ours
// who is let in unsure is.
func (m *Log) Decision(r policy.Request, f policy.Finding, err error, took time.Duration) {
	if err == nil && f.Verdict == policy.Pass && !f.LetIn {
		return
	}
	m.lines.Print(decisionLine(r, f, err, took))
}

// decisionLine is the one place that formats a decision: keys in a fixed order,
// foreign text made printable.
func decisionLine(r policy.Request, f policy.Finding, err error, took time.Duration) string {
	verdict, why := f.Verdict.String(), f.Why
	if err != nil {
		verdict, why = "fault", err.Error()
	}
	host := "-"
	if f.Host != nil {
		host = f.Host.Name
	}
	var answers []string
	for _, a := range f.Answers {
		if a.Says != policy.Unasked {
			answers = append(answers, a.String())
		}
	}
	var b strings.Builder
	b.Grow(256) // which most lines fit in
	b.WriteString(word(bare(r.QueueID), "NOQUEUE") + ": verdict=" + verdict)
	b.WriteString(" rcpt=<" + Printable(r.Recipient) + ">")
	b.WriteString(" host=" + host)
	b.WriteString(" source=" + word(f.Source, "-"))
	b.WriteString(" code=" + strconv.Itoa(Code(f)))
	b.WriteString(" answers=" + word(strings.Join(answers, ","), "-"))
	b.WriteString(" delay=" + strconv.FormatFloat(took.Seconds(), 'f', 4, 64))
	b.WriteString(" client=" + word(bare(r.Client), "-"))
	b.WriteString(" face=" + word(r.Face, "-"))
	if why != "" {
		b.WriteString(" why=" + strconv.Quote(clip(why, 300)))
	}
	return b.String()
}

func word(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// Printable replaces what could break or forge a line of the log.
func Printable(s string) string {
	return clip(strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) || r == '>' || r == '<' {
			return '?'
		}
		return r
	}, s), 320)
}

// bare is printable for a value that has no quotes or brackets around it: it
// cannot end before its time, nor begin another key.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '=' {
			return '?'
		}
		return r
	}, Printable(s))
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Code returns the SMTP code that the verdict means to the client: 0 with
// pass, which leaves it to Postfix.
func Code(f policy.Finding) int {
	if f.Verdict == policy.Deliver {
		return 250
	}
	return f.Reply.Code
}
