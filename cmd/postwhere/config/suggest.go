package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxSlips is how many letters of a key may be wrong, as cobra has it of commands.
const maxSlips = 2

// hintAt says what an unknown key may have been meant to be, if one can tell.
func hintAt(key []string) string {
	if len(key) > 3 && key[0] == "host" {
		return fmt.Sprintf(": a name with dots goes in quotes, [host.%q]", strings.Join(key[1:], "."))
	}
	wrong, section := key[len(key)-1], typeAt(key[:len(key)-1])
	if section == nil || section.Kind() != reflect.Struct {
		return ""
	}
	meant, least := "", min(maxSlips, len(wrong)/2)+1
	for i := range section.NumField() {
		name := section.Field(i).Tag.Get("toml")
		if name == "" {
			continue
		}
		slips := levenshtein.ComputeDistance(strings.ToLower(wrong), name)
		if len(wrong) > maxSlips && strings.HasPrefix(name, strings.ToLower(wrong)) {
			slips = min(slips, maxSlips)
		}
		if slips < least {
			meant, least = name, slips
		}
	}
	if meant == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", meant)
}

// typeAt returns the type of a table that has such a key, nil if there is none.
func typeAt(key []string) reflect.Type {
	t := reflect.TypeFor[Config]()
	for _, name := range key {
		if t = memberType(t, name); t == nil {
			return nil
		}
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
	}
	return t
}
