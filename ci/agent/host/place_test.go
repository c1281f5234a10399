package host_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/place/placetest"
)

func TestPlace(t *testing.T) {
	var w ci.Work
	w.Lease = ci.Lease{Task: "place.0", Epoch: 1}
	placetest.Run(t, host.New(host.Config{Dir: t.TempDir()}), w)
}

// As agents run it: in a process of their own, which is the parent of all that
// its steps leave.
func TestPlace_Adopting(t *testing.T) {
	const alone = "RONDO_TEST_ADOPTING"
	if os.Getenv(alone) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPlace_Adopting$", "-test.v")
		cmd.Env = append(os.Environ(), alone+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "PASS: TestPlace_Adopting/LateKill")
		return
	}
	var w ci.Work
	w.Lease = ci.Lease{Task: "adopting.0", Epoch: 1}
	placetest.Run(t, host.New(host.Config{Dir: t.TempDir(), Adopt: true}), w)
}
