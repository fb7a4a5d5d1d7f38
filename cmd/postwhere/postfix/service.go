package postfix

import "strings"

// Service is a line of master.cf.
type Service struct {
	Name, Type string
	Chroot     bool   // "-" is no, as it has been since Postfix 3.0
	Command    string // smtpd
	Options    []Option
}

// Option is a parameter that is another for this service alone: -o NAME=VALUE.
type Option struct{ Name, Value string }

// Key returns what postconf(1) calls the service.
func (s Service) Key() string { return s.Name + "/" + s.Type }

// Option returns the service's own value of a parameter; ok is false if it has none.
func (s Service) Option(name string) (value string, ok bool) {
	for _, o := range s.Options { // the last one counts
		if o.Name == name {
			value, ok = o.Value, true
		}
	}
	return value, ok
}

// parseServices reads what `postconf -M` prints. A line that is none is left out.
func parseServices(lines []string) []Service {
	var services []Service
	for _, line := range lines {
		var words []string
		for _, s := range spansBetween(line, " \t") { // a comma is part of a value
			words = append(words, line[s.from:s.to])
		}
		if len(words) < 8 {
			continue
		}
		s := Service{Name: words[0], Type: words[1], Chroot: words[4] == "y", Command: words[7]}
		for i := 8; i+1 < len(words); i++ {
			if words[i] != "-o" {
				continue
			}
			i++
			name, value, _ := strings.Cut(unbraced(words[i]), "=")
			s.Options = append(s.Options, Option{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
		services = append(services, s)
	}
	return services
}

// unbraced returns the inside of {…}, or the word itself.
func unbraced(word string) string {
	if strings.HasPrefix(word, "{") && strings.HasSuffix(word, "}") {
		return strings.TrimSpace(word[1 : len(word)-1])
	}
	return word
}
