package postfix

import (
	"slices"
	"strings"
)

// entry is a parameter of main.cf or a service of master.cf as it is written, or
// lines that are neither.
type entry struct {
	key  string // the parameter, or NAME/TYPE; "" for comments and blank lines
	text string // with its final newline
}

// entriesOf takes a file apart. A line that begins with a blank continues the entry
// before; comments and blank lines in between belong to it (postconf(5), master(5)).
func entriesOf(text string, keyOf func(line string) string) []entry {
	var all []entry
	idle := "" // comments, of which it is not known yet whether the entry goes on
	flush := func() {
		if idle != "" {
			all, idle = append(all, entry{text: idle}), ""
		}
	}
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		last := len(all) - 1
		switch {
		case bare == "" || bare[0] == '#':
			idle += line
		case (line[0] == ' ' || line[0] == '\t') && last >= 0 && all[last].key != "":
			all[last].text += idle + line
			idle = ""
		default:
			flush()
			all = append(all, entry{keyOf(line), line})
		}
	}
	flush()
	return all
}

// kind is what sort of file it is.
type kind struct {
	keyOf func(line string) string
	// services: an entry that was not there before is ours as a whole, however it
	// was changed.
	services bool
}

var (
	mainCF   = kind{keyOf: parameterOf}
	masterCF = kind{keyOf: serviceOf, services: true}
)

// parameterOf returns what a line of main.cf gives a value.
func parameterOf(line string) string {
	name, _, _ := strings.Cut(line, "=")
	return strings.TrimSpace(name)
}

// serviceOf returns what a line of master.cf defines.
func serviceOf(line string) string {
	f := strings.Fields(line)
	if len(f) < 2 {
		return strings.TrimSpace(line)
	}
	return f[0] + "/" + f[1]
}

// find returns where the entry of a key is, the last one, which counts; or -1.
func find(all []entry, key string) int {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].key == key {
			return i
		}
	}
	return -1
}

// textOf puts a file together.
func textOf(all []entry) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.text)
	}
	return b.String()
}

// takenBack returns a file without what changed it from before to after, and with
// what somebody else has changed since. Where somebody has changed the very entry,
// our words go out of it and the rest stays. missed are the entries that could not
// be taken back, and stay as they are.
func (k kind) takenBack(before, after, now string) (text string, missed []string) {
	switch now {
	case after:
		return before, nil
	case before: // never put in place
		return now, nil
	}
	was, ours, is := entriesOf(before, k.keyOf), entriesOf(after, k.keyOf), entriesOf(now, k.keyOf)
	for _, key := range changed(was, ours) {
		b, a, n := find(was, key), find(ours, key), find(is, key)
		switch {
		case n < 0 && a < 0: // taken out by us, and nobody has put it back
			is = append(is, was[b])
		case n < 0 || a < 0: // taken out, or put back, by somebody else
		case b >= 0 && is[n].text == was[b].text: // never put in place, or put back
		case is[n].text == ours[a].text && b >= 0:
			is[n].text = was[b].text
			// postconf has left the comments in it behind it.
			if n+1 < len(is) && is[n+1].key == "" {
				is[n+1].text = strings.TrimPrefix(is[n+1].text, commentsIn(was[b].text))
			}
		case is[n].text == ours[a].text, k.services && b < 0:
			is = slices.Delete(is, n, n+1)
		default:
			had := ""
			if b >= 0 {
				had = was[b].text
			}
			rest, ok := without(is[n].text, had, ours[a].text)
			switch {
			case !ok:
				missed = append(missed, key)
			case rest == "":
				is = slices.Delete(is, n, n+1)
			default:
				is[n].text = rest
			}
		}
	}
	if k.services {
		is, missed = keepUsed(is, ours, missed)
	}
	return textOf(is), missed
}

// keepUsed puts services back that others still have resolve their addresses: an
// smtpd(8) without it takes no mail.
func keepUsed(is, ours []entry, missed []string) ([]entry, []string) {
	for _, e := range ours {
		name, _, _ := strings.Cut(e.key, "/")
		uses := func(other entry) bool {
			return slices.Contains(Words(uncommented(other.text)), "rewrite_service_name="+name)
		}
		if e.key != "" && find(is, e.key) < 0 && slices.ContainsFunc(is, uses) {
			is, missed = append(is, e), append(missed, e.key)
		}
	}
	return is, missed
}

// changed returns the keys of entries that are not the same in both.
func changed(before, after []entry) []string {
	var keys []string
	seen := map[string]bool{"": true}
	for _, e := range slices.Concat(before, after) {
		if seen[e.key] {
			continue
		}
		seen[e.key] = true
		b, a := find(before, e.key), find(after, e.key)
		if b < 0 || a < 0 || before[b].text != after[a].text {
			keys = append(keys, e.key)
		}
	}
	return keys
}

// without takes the words that made after of before out of an entry that somebody
// has changed since; "" if nothing is left of it. ok is false if they are not there
// in a row.
func without(now, before, after string) (rest string, ok bool) {
	had, have := Words(uncommented(before)), Words(uncommented(after))
	head := 0
	for head < len(had) && head < len(have) && same(had[head], have[head]) {
		head++
	}
	if before == "" && len(have) > 1 && have[1] == "=" {
		head = 2 // NAME =
	}
	tail := 0
	for tail < len(had)-head && tail < len(have)-head && same(had[len(had)-1-tail], have[len(have)-1-tail]) {
		tail++
	}
	added := have[head : len(have)-tail]
	words := Words(now)
	at := index(words, added)
	if at < 0 {
		return now, len(added) == 0
	}
	rest = Cut(now, at, len(added))
	if before == "" && strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "=")) == have[0] {
		return "", true
	}
	if !strings.HasSuffix(rest, "\n") {
		rest += "\n"
	}
	return rest, true
}

// commentsIn returns the comments in an entry.
func commentsIn(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if bare := strings.TrimSpace(line); bare == "" || bare[0] == '#' {
			b.WriteString(line)
		}
	}
	return b.String()
}

// uncommented returns an entry without the comments in it.
func uncommented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
