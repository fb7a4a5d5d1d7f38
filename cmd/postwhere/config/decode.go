package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// decode reads a text over the defaults in c.
func (c *Config) decode(file, text string) error {
	err := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var all problems
		for i := range unknown.Errors {
			e := &unknown.Errors[i]
			line, column := e.Position()
			all.add("%s:%d:%d: unknown key %q%s", file, line, column, strings.Join(e.Key(), "."), hintAt(e.Key()))
		}
		return errors.Join(all...)
	case errors.As(err, &wrong):
		line, column := wrong.Position()
		return fmt.Errorf("%s:%d:%d: %s%s", file, line, column, inOurWords(wrong), sameHeader(text, line))
	}
	if misfits := misfitsIn(text); misfits != nil {
		return prefixed(file, misfits)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// mismatch is how the decoder says that a value is of the wrong type: in words
// for whoever wrote the program.
var mismatch = regexp.MustCompile(`^cannot decode TOML (.+?) into (?:.* of type )?(\S+)$`)

// inOurWords returns what the decoder says in words for who wrote the file.
func inOurWords(e *toml.DecodeError) string {
	text := strings.TrimPrefix(e.Error(), "toml: ")
	if m := mismatch.FindStringSubmatch(text); m != nil {
		text = "want " + wanted(m[2]) + ", got " + m[1]
	}
	if key := strings.Join(e.Key(), "."); key != "" {
		text = key + ": " + text
	}
	return text
}

// sameHeader says where the section stands already that a line begins once more, as who
// puts an example at the end of the shipped file does; "" if the line begins none.
func sameHeader(text string, line int) string {
	lines := strings.Split(text, "\n")[:line]
	header := func(l string) string { return headerOf.FindString(strings.TrimSpace(l)) }
	again := header(lines[line-1])
	first := slices.IndexFunc(lines, func(l string) bool { return header(l) == again }) + 1
	if again == "" || first == line {
		return ""
	}
	return fmt.Sprintf(": put its keys below the %s of line %d", again, first)
}

// headerOf is a section's header, without what follows it.
var headerOf = regexp.MustCompile(`^\[[^\[\]]+\]`)

// wanted names what a Go type is in the file.
func wanted(goType string) string {
	switch name := strings.TrimLeft(goType, "*"); {
	case name == "int", name == "config.Connections":
		return "a number"
	case name == "bool":
		return "true or false"
	case strings.HasPrefix(name, "[]"):
		return "a list"
	case slices.Contains([]string{"string", "config.Names", "config.Duration", "config.Listener", "config.SMTPReply", "config.Unsure", "config.Network", "config.Pattern", "config.SharedServer"}, name), strings.HasPrefix(name, "probe."):
		return "text in quotes"
	}
	return "a table"
}

// misfitsIn finds values without quotes where there must be text, and a 0 that would
// be taken for a key that is not there. The decoder lets them through: to it the number
// 10 is a time of ten nanoseconds.
func misfitsIn(text string) error {
	var tree map[string]any
	var wrong problems
	if toml.Unmarshal([]byte(text), &tree) == nil { // else the decoder has complained
		wrong.misfits("", tree, reflect.TypeFor[Config]())
	}
	return errors.Join(wrong...)
}

// misfits goes through a value and the type that is to hold it.
func (p *problems) misfits(key string, value any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		if t.Kind() == reflect.Slice { // [x] where [[x]] was meant is one x
			t = t.Elem()
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if of := memberType(t, name); of != nil {
				p.misfits(strings.TrimPrefix(key+"."+name, "."), v[name], of)
			}
		}
	case []any:
		for i, element := range v {
			if t.Kind() == reflect.Slice {
				p.misfits(fmt.Sprintf("%s[%d]", key, i+1), element, t.Elem())
			}
		}
	case string:
	default:
		switch {
		case t == reflect.TypeFor[Connections]() && v == int64(0):
			p.add("%s = 0: want 1 to 50; `postwhere drain` takes a host out of the asking", key)
		case t == reflect.TypeFor[Duration]():
			p.add("%s = %v: want a time with its unit, in quotes: \"%[2]vs\"", key, v)
		case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
			p.add("%s = %v: want text in quotes", key, v)
		}
	}
}

// memberType returns the type of what a table has under a name, nil if it has
// no such thing.
func memberType(table reflect.Type, name string) reflect.Type {
	switch table.Kind() {
	case reflect.Map:
		return table.Elem()
	case reflect.Struct:
		for i := range table.NumField() {
			if field := table.Field(i); strings.EqualFold(field.Tag.Get("toml"), name) { // as the decoder does
				return field.Type
			}
		}
	}
	return nil
}

// prefixed puts the file's name before each of joined errors.
func prefixed(file string, err error) error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return fmt.Errorf("%s: %w", file, err)
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, fmt.Errorf("%s: %w", file, e))
	}
	return errors.Join(all...)
}
