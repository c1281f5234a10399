package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// An outcome is what a run has shown.
type outcome struct {
	wrong []string
	trace string
	took  time.Duration // from the end of faults to the end of work
	lives int
	calls map[string]int
}

// play runs one seed. One in twenty has its logs on a real disk.
func play(t *testing.T, seed uint64) (o outcome) {
	dir := ""
	if seed%20 == 0 {
		dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed, dir)
		watchdog := time.AfterFunc(3*endOfTime, func() {
			panic(fmt.Sprintf("%s\n\nthe world does not end; %s", w.trace.text(400), repeat(seed)))
		})
		defer watchdog.Stop()
		took, err := w.run()
		require.NoError(t, err)
		if dir != "" { // as the next process reads them
			require.NoError(t, w.boot())
			w.end("stop", 0)
			require.NoError(t, w.boot())
		}
		w.check()
		w.end("stop", time.Hour)
		o = outcome{w.trace.wrong, w.trace.text(400), took, w.lives, w.border.answers}
	})
	return o
}

// repeat says how a seed runs again.
func repeat(seed uint64) string {
	return fmt.Sprintf("again: RONDO_SEED=%d RONDO_SIM_AGAIN=20 go test -run TestSim ./cmd/internal/sim\nthen add the seed to testdata/seeds.txt", seed)
}

// TestSim_P1_P4_P5_P6_P7_P14_P18_P25_P27 runs worlds. Those whose seed has failed
// once come first. RONDO_SIM_SEEDS says how many, RONDO_SEED which one, and
// RONDO_SIM_AGAIN how often each.
func TestSim_P1_P4_P5_P6_P7_P14_P18_P25_P27(t *testing.T) {
	seeds := schedulertest.KnownSeeds(t)
	n, again := number("RONDO_SIM_SEEDS", 500), number("RONDO_SIM_AGAIN", 1)
	if testing.Short() {
		n = 20
	}
	if one := number("RONDO_SEED", 0); one != 0 {
		seeds, n = []uint64{one}, 0
	}
	first := rand.Uint64N(1<<53) + 1
	for i := range n {
		seeds = append(seeds, first+i)
	}
	lives, longest, calls := 0, time.Duration(0), map[string]int{}
	for _, seed := range seeds {
		for range again {
			o := play(t, seed)
			if len(o.wrong) > 0 {
				t.Fatalf("\n%s\n\n%d things are wrong, the first: %s\n%s", o.trace, len(o.wrong), o.wrong[0], repeat(seed))
			}
			lives += o.lives
			longest = max(longest, o.took)
			for op, n := range o.calls {
				calls[op] += n
			}
		}
	}
	t.Logf("%d worlds, %d lives of servers, answers of the door %v; the longest took %s to end all work once healed", len(seeds), lives, calls, longest)
}

// number reads a number from the environment.
func number(name string, otherwise uint64) uint64 {
	n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
