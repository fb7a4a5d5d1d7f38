package main

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postwhere/cmd/postwhere/config"
)

// One domain with one host, and what that means: each key has its default.
const (
	leastDomain = "[[domain]]\nname = 'example.com'\n"
	leastHost   = "[host.mail1]\n"
)

// The keys are those of the types that the configuration is read into.
func TestEveryKeyIsInTheManualTheShippedFileAndNowhereElse(t *testing.T) {
	known := keysOf(*settled(t, leastDomain+leastHost))
	for _, doc := range []struct {
		name     string
		entries  []entry
		complete bool
	}{
		{pageOfKeys, entriesOfPage(readDocument(t, pageOfKeys)), true},
		{shippedFile, entriesOfFile(readDocument(t, shippedFile)), true},
		{readmeFile, entriesOfFile(readmeListing(t)), false},
	} {
		told := make(map[string]bool)
		for _, e := range doc.entries {
			if _, is := known[e.key]; !is {
				t.Errorf("%s has the key %s, which there is not", doc.name, e.key)
			}
			if told[e.key] {
				t.Errorf("%s has the key %s twice", doc.name, e.key)
			}
			told[e.key] = true
		}
		for _, key := range slices.Sorted(maps.Keys(known)) {
			if doc.complete && !told[key] {
				t.Errorf("%s lacks the key %s", doc.name, key)
			}
		}
	}
}

// What a document calls the default is what the key has in a file without it.
func TestEveryDefaultIsAsItIsTold(t *testing.T) {
	for _, doc := range []struct {
		name    string
		entries []entry
	}{
		{pageOfKeys, entriesOfPage(placed(readDocument(t, pageOfKeys)))},
		{shippedFile, entriesOfFile(readDocument(t, shippedFile))},
		{readmeFile, entriesOfFile(readmeListing(t))},
	} {
		for _, e := range doc.entries {
			want := settled(t, leastDomain+leastHost)
			value := keysOf(*want)[e.key]
			switch {
			case e.key == "domain.name" || e.key == "domain.hosts" && doc.name != pageOfKeys:
				continue // the site's; the page has it of hosts that the default is none
			case e.value == "" && value.IsValid() && !value.IsZero():
				t.Errorf("%s does not have the default of %s", doc.name, e.key)
			}
			if e.value == "" {
				continue
			}
			text := leastDomain + leastHost
			table, key := e.key[:strings.LastIndex(e.key, ".")], e.key[strings.LastIndex(e.key, ".")+1:]
			line := key + " = " + strings.ReplaceAll(e.value, "mail1.example.net", "mail1") + "\n"
			switch table {
			case "domain":
				text = leastDomain + line + leastHost
			case "host":
				text += line
			default:
				text += "[" + table + "]\n" + line
			}
			if diff := difference(want, settled(t, text)); diff != "" {
				t.Errorf("%s: %s = %s is not the default (-default +told):\n%s", doc.name, e.key, e.value, diff)
			}
			// 0 connections mean five, too, and are nothing to tell.
			if value.Kind() == reflect.Int && fmt.Sprint(value.Int()) != e.value {
				t.Errorf("%s: %s = %s, want %d", doc.name, e.key, e.value, value.Int())
			}
		}
	}
}

// The shipped file with all of its defaults active is the file without them.
func TestShippedFileWithAllDefaultsActiveChangesNothing(t *testing.T) {
	text := readDocument(t, shippedFile)
	active := regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(text, "$1")
	if active == text {
		t.Fatal("there is nothing to activate")
	}
	least := regexp.MustCompile(`(?m)^#(\[\[domain|name |hosts )`).ReplaceAllString(text, "$1")
	if diff := difference(settled(t, least), settled(t, active)); diff != "" {
		t.Errorf("(-only the domain +all):\n%s", diff)
	}
}

// As it is shipped the file says of itself that it is to be edited, and to
// programs that nobody has: it names no domain.
func TestShippedFileIsRefusedUntilItIsEdited(t *testing.T) {
	_, err := config.Load(shippedFile)
	if want := shippedFile + ": there is no [[domain]]: name at least one, with its hosts, or run postwhere setup"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// The manual says of each key what it takes.
func TestEveryKeyTakesWhatTheManualSays(t *testing.T) {
	known := keysOf(*settled(t, leastDomain+leastHost))
	for _, e := range entriesOfPage(readDocument(t, pageOfKeys)) {
		if v, is := known[e.key]; is && kindOf(v.Type()) != e.kind {
			t.Errorf("%s takes %s, and the manual says %s", e.key, kindOf(v.Type()), e.kind)
		}
	}
}

// What is shown in the manual works, but for the files that it names.
func TestExamplesOfTheManualAreConfigurations(t *testing.T) {
	_, examples, _ := strings.Cut(readDocument(t, pageOfKeys), "\n## EXAMPLES\n")
	blocks := regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(examples, -1)
	if len(blocks) == 0 {
		t.Fatal("there are no examples")
	}
	for _, block := range blocks {
		text := regexp.MustCompile(`(?m)^(user|\w+_file) .*\n`).ReplaceAllString(block[1], "")
		if !strings.Contains(text, "[[domain]]") {
			text += leastDomain
		}
		settled(t, text)
	}
}

// placed puts a host into the defaults that depend on its name.
func placed(page string) string {
	return strings.NewReplacer("NAME:PORT", "mail1:25", "[NAME]:PORT", "[mail1]:25", `"NAME"`, `"mail1"`, "[NAME]\"", "[mail1]\"").Replace(page)
}

// settled reads a configuration as it is, with the file that memory is kept in.
func settled(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func difference(want, got *config.Config) string {
	return cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty())
}

var fromText = reflect.TypeFor[encoding.TextUnmarshaler]()

// keysOf returns all keys of a configuration, each with the value that its first
// table has, a zero one where there is none.
func keysOf(cfg config.Config) map[string]reflect.Value {
	all := make(map[string]reflect.Value)
	collect(all, "", reflect.ValueOf(cfg))
	return all
}

func collect(all map[string]reflect.Value, key string, v reflect.Value) {
	t := v.Type()
	switch {
	case reflect.PointerTo(t).Implements(fromText):
	case t.Kind() == reflect.Map:
		collect(all, key, v.MapIndex(v.MapKeys()[0]).Elem())
		return
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !reflect.PointerTo(t.Elem()).Implements(fromText):
		first := reflect.Zero(t.Elem())
		if v.Len() > 0 {
			first = v.Index(0)
		}
		collect(all, key, first)
		return
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if name := t.Field(i).Tag.Get("toml"); name != "" {
				collect(all, strings.TrimPrefix(key+"."+name, "."), v.Field(i))
			}
		}
		return
	}
	all[key] = v
}

// kindOf is what a type is called in the manual.
func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[config.Duration](), t == reflect.TypeFor[*config.Duration]():
		return "time"
	case t == reflect.TypeFor[config.Names]():
		return "text or list of texts"
	case t.Kind() == reflect.Slice:
		return "list of texts"
	case reflect.PointerTo(t).Implements(fromText), t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "number"
	}
	return t.String()
}
