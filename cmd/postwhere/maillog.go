package main

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

// maillog writes one line a decision, and what concerns the program.
type maillog struct {
	lines *log.Logger
}

func newMaillog(out io.Writer) *maillog {
	// The journal puts the time to a line; elsewhere we do.
	flags := log.LstdFlags
	if os.Getenv("JOURNAL_STREAM") != "" {
		flags = 0
	}
	return &maillog{lines: log.New(out, "", flags)}
}

// program returns a logger for what concerns no recipient.
func (m *maillog) program() *slog.Logger {
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

// decision writes the line of one decision. What is not ours is not logged:
// Postfix asks about every sender and every foreign recipient. A recipient of ours
// who is let in unsure is.
func (m *maillog) decision(r policy.Request, f policy.Finding, err error, took time.Duration) {
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
	b.WriteString(" rcpt=<" + printable(r.Recipient) + ">")
	b.WriteString(" host=" + host)
	b.WriteString(" source=" + word(f.Source, "-"))
	b.WriteString(" code=" + strconv.Itoa(codeOf(f)))
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

// printable replaces what could break or forge a line of the log.
func printable(s string) string {
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
	}, printable(s))
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// codeOf returns the SMTP code that the verdict means to the client: 0 with
// pass, which leaves it to Postfix.
func codeOf(f policy.Finding) int {
	if f.Verdict == policy.Deliver {
		return 250
	}
	return f.Reply.Code
}
