package disk

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if beKilled() {
		return
	}
	goleak.VerifyTestMain(m)
}
