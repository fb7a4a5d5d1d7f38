package postfix

import (
	"slices"
	"strings"
)

// span is where a word is in a list.
type span struct{ from, to int }

// spans finds the words of a list: separated by blanks and commas, but for those
// within braces (CHARS_COMMA_SP and mystrtokq in Postfix's source).
func spans(list string) []span { return spansBetween(list, " \t\r\n,") }

// spansBetween finds the words between other separators.
func spansBetween(list, separators string) []span {
	var all []span
	depth, from := 0, -1
	for i, r := range list {
		if depth == 0 && strings.ContainsRune(separators, r) {
			if from >= 0 {
				all = append(all, span{from, i})
			}
			from = -1
			continue
		}
		if from < 0 {
			from = i
		}
		switch {
		case r == '{':
			depth++
		case r == '}' && depth > 0:
			depth--
		}
	}
	if from >= 0 {
		all = append(all, span{from, len(list)})
	}
	return all
}

// Words returns the words of a list. What stands in braces is one word.
func Words(list string) []string {
	var words []string
	for _, s := range spans(list) {
		words = append(words, list[s.from:s.to])
	}
	return words
}

// Insert puts words, as one text, before the word of a list that has this index, or
// at the end; the rest stays as it is written.
func Insert(list string, at int, text string) string {
	all := spans(list)
	if len(all) == 0 {
		return text
	}
	between := " "
	for i := 1; i < len(all); i++ {
		if strings.Contains(list[all[i-1].to:all[i].from], ",") {
			between = ", "
		}
	}
	if at >= len(all) {
		end := all[len(all)-1].to
		return list[:end] + between + text
	}
	return list[:all[at].from] + text + between + list[all[at].from:]
}

// Cut takes n words out of a list, from an index on; the rest stays as it is
// written.
func Cut(list string, at, n int) string {
	all := spans(list)
	switch {
	case n == 0:
		return list
	case at > 0:
		return list[:all[at-1].to] + list[all[at+n-1].to:]
	case n < len(all):
		return list[:all[0].from] + list[all[n].from:]
	}
	return ""
}

// index returns where words stand in a row in others, or -1.
func index(words, row []string) int {
	for i := 0; i+len(row) <= len(words); i++ {
		if slices.EqualFunc(words[i:i+len(row)], row, same) {
			return i
		}
	}
	return -1
}

// same tells whether two words mean the same, however they are spaced in braces.
func same(a, b string) bool {
	return a == b || strings.HasPrefix(a, "{") && strings.HasPrefix(b, "{") && noBlanks(a) == noBlanks(b)
}

func noBlanks(s string) string { return strings.Join(strings.Fields(s), "") }
