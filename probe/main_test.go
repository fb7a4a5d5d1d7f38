package probe

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a goroutine is left when the tests are over: every session,
// calibration and connection has somebody who waits for it.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
