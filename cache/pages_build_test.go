package cache

import (
	"os"
	"os/exec"
	"testing"
)

// Other systems know no huge pages by that name.
func TestCacheIsBuiltForOtherSystems(t *testing.T) {
	for _, system := range []string{"freebsd", "darwin"} {
		build := exec.Command("go", "build", ".")
		build.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", system, err, out)
		}
	}
}
