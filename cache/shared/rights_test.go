package shared

import (
	"regexp"
	"strings"
	"testing"

	"postwhere/packaging/realhost"
)

// Check names each right that the user lacks, and leaves nothing in the server.
func TestCheckNamesTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "user mail on >hush "+aclRights)
		at.User, at.Password = "mail", "hush"
		for _, right := range strings.Fields(aclRights)[1:] {
			if right == "+select" && at.DB == 0 {
				continue
			}
			set := func(right string) {
				if err := client.Do(t.Context(), "ACL", "SETUSER", "mail", right).Err(); err != nil {
					t.Fatal(err)
				}
			}
			set("-" + right[1:])
			want := regexp.MustCompile(`^its user has not all rights: ACL SETUSER mail ` + regexp.QuoteMeta(right) + `(\|stream)?$`)
			if !realhost.Eventually(func() bool {
				_, err := Check(t.Context(), at)
				return err != nil && want.MatchString(err.Error())
			}) {
				_, err := Check(t.Context(), at)
				t.Errorf("without %s: %v", right, err)
			}
			set(right)
		}
		for keys, want := range map[string]string{"~postwhere:*": "", "~postwhere:check": "~postwhere:*"} {
			if err := client.Do(t.Context(), "ACL", "SETUSER", "mail", "resetkeys", keys).Err(); err != nil {
				t.Fatal(err)
			}
			if !realhost.Eventually(func() bool {
				_, err := Check(t.Context(), at)
				return want == "" && err == nil || want != "" && err != nil && strings.HasSuffix(err.Error(), "ACL SETUSER mail "+want)
			}) {
				_, err := Check(t.Context(), at)
				t.Errorf("with %s: %v", keys, err)
			}
		}
		if !realhost.Eventually(func() bool { return client.DBSize(t.Context()).Val() == 0 }) {
			t.Errorf("left: %v", client.Keys(t.Context(), "*").Val())
		}
	})
}

// A server that cannot be read is away until it can be, and does not come and go.
func TestServerWithoutARightStaysAway(t *testing.T) {
	t.Parallel()
	for _, right := range []string{"+xrange ", "+xinfo ", "+xread "} {
		t.Run(right, func(t *testing.T) {
			t.Parallel()
			realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
				_, at, _ := redisAt(t, kind, "user mail on >hush "+strings.Replace(aclRights, right, "", 1))
				at.User, at.Password = "mail", "hush"
				f := join(t, at)
				want := "ACL SETUSER mail " + strings.TrimSpace(right)
				if !realhost.Eventually(func() bool {
					why := f.link.State().Why
					return why != nil && strings.Contains(why.Error(), want)
				}) {
					t.Errorf("%v, want %s", f.link.State().Why, want)
				}
				f.log.wants(t, 0, "shared memory is back")
				f.log.wants(t, 1, "shared memory is away")
			})
		})
	}
}
