package shared

import (
	"testing"

	"postwhere/cache"
	"postwhere/packaging/realhost"
)

// A purge is of a mailbox, in whichever case it is named.
func TestPurgeInCapitals(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		a := join(t, at)
		a.isUp(t)
		a.learns(t, "anna@example.com", "mail1")
		a.told(t)
		p := cache.Purge{Name: cache.Name{Local: "Anna", Domain: "example.com"}}
		a.Purge(p)
		if err := a.link.Purge(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if text, _ := client.Get(t.Context(), "postwhere:address:anna@example.com").Result(); text != "" {
			t.Errorf("left in the server: %s", text)
		}
	})
}
