package host_test

import (
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/place/placetest"
)

func TestPlace(t *testing.T) {
	var w ci.Work
	w.Lease = ci.Lease{Task: "place.0", Epoch: 1}
	placetest.Run(t, host.New(host.Config{Dir: t.TempDir()}), w)
}
