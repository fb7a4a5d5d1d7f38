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
