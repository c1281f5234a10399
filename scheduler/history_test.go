package scheduler_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
)

// A history is what agents asked the scheduler and what they were told, in the
// order of beginnings and ends. A nil history records nothing.
type history struct {
	mu   sync.Mutex
	now  int64
	list []porcupine.Operation
}

// A call is one question of an agent about its lease.
type call struct {
	kind string // claim, renew or finish
	who  ci.Lease
	last bool // a finish that ends the task, and is no answer to a cancel
}

// What agents are told.
const (
	granted = "granted"
	refused = "refused"
	unknown = "unknown" // it may have happened, or not, or happen later
)

// ask calls f and records it.
func (h *history) ask(c call, f func() error) error {
	if h == nil {
		return f()
	}
	tick := func() int64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.now++
		return h.now
	}
	began := tick()
	err := f()
	op := porcupine.Operation{Input: c, Output: granted, Call: began, Return: tick()}
	switch {
	case err == nil:
	case errors.Is(err, ci.ErrConflict):
		op.Output = refused
	default:
		op.Output, op.Return = unknown, math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, op)
	return err
}

// A holding is what the model knows of one task.
type holding struct {
	epoch  int64
	worker string
	over   bool // the lease was given back, or its holder was told that it is gone
	ended  bool // the task has ended for good
}

// holdings is the rule: an epoch has one worker, epochs only grow, a lease that
// is gone does not come back, and a task that has ended is nobody's. That a
// lease is refused is always right: it may have expired, or the task was
// canceled.
var holdings = porcupine.NondeterministicModel{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byTask := map[ci.TaskID][]porcupine.Operation{}
		for _, op := range all {
			task := op.Input.(call).who.Task
			byTask[task] = append(byTask[task], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byTask {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{holding{}} },
	Step: func(state, input, output any) []any {
		s, c := state.(holding), input.(call)
		holder := s.epoch == c.who.Epoch && s.worker == c.who.Worker
		next, may := s, false
		switch c.kind {
		case "claim":
			may = !s.ended && (c.who.Epoch > s.epoch || holder && !s.over)
			next = holding{epoch: c.who.Epoch, worker: c.who.Worker}
		case "renew":
			may = holder && !s.over
		case "finish": // again is no error
			may = holder && (!s.over || !s.ended || c.last)
			next.over, next.ended = true, s.ended || c.last
		}
		switch output {
		case granted:
			if may {
				return []any{next}
			}
			return nil
		case refused:
			if holder {
				s.over = true
			}
			return []any{s}
		}
		if may {
			return []any{s, next}
		}
		return []any{s}
	},
	DescribeOperation: func(input, output any) string {
		c := input.(call)
		return fmt.Sprintf("%s %d by %s: %s", c.kind, c.who.Epoch, c.who.Worker, output)
	},
}

// TestP4b_Histories compares what agents were told under faults with a model of
// leases. Seeds that failed once are kept in testdata/seeds.txt.
func TestP4b_Histories(t *testing.T) { histories(t, 40) }

func TestFault_P4b_Histories(t *testing.T) {
	if os.Getenv("RONDO_FAULTS") != "1" {
		t.Skip("a long one: make faults")
	}
	histories(t, 2000)
}

func histories(t *testing.T, n int) {
	if testing.Short() {
		n = 10
	}
	seeds := schedulertest.KnownSeeds(t)
	first := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("RONDO_SEED"), 10, 64); err == nil {
		seeds, n = []uint64{s}, 0
	}
	for i := range n {
		seeds = append(seeds, first+uint64(i))
	}
	calls, doubts := 0, 0
	for _, seed := range seeds {
		h := new(history)
		again := fmt.Sprintf("again: RONDO_SEED=%d go test -run TestP4b_Histories ./scheduler", seed)
		require.Empty(t, recordChaos(t, seed, 40, h), again)
		model := holdings.ToModel()
		switch result, _ := porcupine.CheckOperationsVerbose(model, h.list, time.Minute); result {
		case porcupine.Illegal:
			t.Fatalf("no order of these calls is right; %s\n%s", again, wrong(h))
		case porcupine.Unknown:
			t.Fatalf("the check took too long; %s", again)
		}
		calls += len(h.list)
		for _, op := range h.list {
			if op.Output == unknown {
				doubts++
			}
		}
	}
	require.True(t, n == 0 || doubts > 0, "no answer was lost")
	t.Logf("%d seeds, %d calls, of which %d had no answer", len(seeds), calls, doubts)
}

// wrong prints the calls about the first task whose history is not right.
func wrong(h *history) string {
	var b strings.Builder
	for _, part := range holdings.Partition(h.list) {
		if porcupine.CheckOperations(holdings.ToModel(), part) {
			continue
		}
		for _, op := range part {
			fmt.Fprintf(&b, "%6d-%-6d %s\n", op.Call, op.Return, holdings.DescribeOperation(op.Input, op.Output))
		}
		return b.String()
	}
	return ""
}

// The model says no to what it should.
func TestHistories_ModelSeesMistakes(t *testing.T) {
	a, b := ci.Lease{Task: "t", Epoch: 1, Worker: "a"}, ci.Lease{Task: "t", Epoch: 1, Worker: "b"}
	later := ci.Lease{Task: "t", Epoch: 2, Worker: "c"}
	for name, tt := range map[string]struct {
		right bool
		calls []call
		told  []string
	}{
		"a run":               {true, []call{{"claim", a, false}, {"renew", a, false}, {"finish", a, true}, {"finish", a, true}}, []string{granted, granted, granted, granted}},
		"two of one epoch":    {false, []call{{"claim", a, false}, {"claim", b, false}}, []string{granted, granted}},
		"an old one renews":   {false, []call{{"claim", a, false}, {"claim", later, false}, {"renew", a, false}}, []string{granted, granted, granted}},
		"an old one finishes": {false, []call{{"claim", a, false}, {"claim", later, false}, {"finish", a, true}}, []string{granted, granted, granted}},
		"after the end":       {false, []call{{"claim", a, false}, {"finish", a, true}, {"claim", later, false}}, []string{granted, granted, granted}},
		"back again":          {false, []call{{"claim", a, false}, {"renew", a, false}, {"renew", a, false}}, []string{granted, refused, granted}},
		"no answer":           {true, []call{{"claim", a, false}, {"renew", a, false}}, []string{unknown, granted}},
		"epochs go back":      {false, []call{{"claim", later, false}, {"claim", a, false}}, []string{granted, granted}},
		"canceled, and again": {true, []call{{"claim", a, false}, {"finish", a, false}, {"claim", later, false}}, []string{granted, granted, granted}},
	} {
		var list []porcupine.Operation
		for i, c := range tt.calls {
			op := porcupine.Operation{Input: c, Output: tt.told[i], Call: int64(2 * i), Return: int64(2*i + 1)}
			if tt.told[i] == unknown {
				op.Return = math.MaxInt64
			}
			list = append(list, op)
		}
		require.Equal(t, tt.right, porcupine.CheckOperations(holdings.ToModel(), list), name)
	}
}
