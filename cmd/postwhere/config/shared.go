package config

import (
	"path/filepath"
	"strings"
	"time"

	"postwhere/cache/shared"
)

// SharedServer is where the memory of several front ends is. The zero value is
// nowhere.
type SharedServer struct{ shared.Server }

// UnmarshalText reads redis://[USER@]HOST[:PORT][/DB], rediss:// for TLS, or
// unix://[USER@]/PATH[?db=DB]; "" is nowhere.
func (s *SharedServer) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*s = SharedServer{}
		return nil
	}
	s.Server, err = shared.ParseServer(string(text))
	return err
}

// maxPrefix is more than anybody wants.
const maxPrefix = 100

// completeShared reads the files, and checks what goes with what.
func (c *Cache) completeShared(dir string, wrong *problems) {
	for _, file := range []*string{&c.SharedPasswordFile, &c.SharedCAFile} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, *file)
		}
	}
	s := &c.Shared.Server
	if s.Address == "" {
		if c.SharedPasswordFile != "" || c.SharedCAFile != "" {
			wrong.add("cache.shared is empty: shared_password_file and shared_ca_file are for a server")
		}
		return
	}
	if c.SharedPasswordFile != "" {
		text, err := readFile(c.SharedPasswordFile)
		secret, ok := secretIn(text)
		switch s.Password = secret; {
		case err != nil:
			wrong.add("cache.shared_password_file: %w", err)
		case !ok:
			wrong.add("cache.shared_password_file %s: want the password in one line", c.SharedPasswordFile)
		}
	}
	if s.User != "" && c.SharedPasswordFile == "" {
		wrong.add("cache.shared has the user %q: say shared_password_file, with the password", s.User)
	}
	if s.Prefix = c.SharedPrefix; s.Prefix == "" || len(s.Prefix) > maxPrefix || strings.ContainsFunc(s.Prefix, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		wrong.add("cache.shared_prefix %q: want 1 to %d letters, digits and signs, such as \"postwhere:\"", s.Prefix, maxPrefix)
	}
	switch {
	case c.SharedCAFile == "":
	case s.TLS == "":
		wrong.add("cache.shared_ca_file needs TLS: say rediss:// in shared")
	default:
		pem, err := readFile(c.SharedCAFile)
		if s.Authorities = string(pem); err == nil {
			err = s.Check()
		}
		if err != nil {
			wrong.add("cache.shared_ca_file %s: %w", c.SharedCAFile, err)
		}
	}
	if time.Duration(c.OwnerExpire) < time.Second {
		wrong.add("cache.owner_expire = %s: want 1s at least of what is shared", c.OwnerExpire)
	}
}
