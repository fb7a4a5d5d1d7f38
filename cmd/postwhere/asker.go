package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// asker asks somebody at a terminal.
type asker struct {
	in  *bufio.Reader
	out io.Writer
}

// newAsker returns an asker; ok is false if nobody is there to be asked.
func newAsker(std streams) (a asker, ok bool) {
	f, is := std.in.(*os.File)
	return asker{bufio.NewReader(std.in), std.out}, is && term.IsTerminal(int(f.Fd()))
}

// line asks for a line. The error says that there will be no more.
func (a asker) line(question string) (string, error) {
	_, _ = fmt.Fprint(a.out, question+" ")
	text, err := a.in.ReadString('\n')
	if err != nil && text == "" {
		_, _ = fmt.Fprintln(a.out)
		return "", fmt.Errorf("no answer: %w", err)
	}
	return strings.TrimSpace(text), nil
}

// yes asks a question; no answer is no.
func (a asker) yes(question string) bool {
	answer, err := a.line(question + " [y/N]")
	return err == nil && slices.Contains([]string{"y", "yes"}, strings.ToLower(answer))
}
