package operator_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/operator"
)

var now = time.Date(2026, 11, 25, 7, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// waiting are the facts of a task that waits and of an installation that works.
func waiting(edit func(*operator.Facts)) operator.Facts {
	f := operator.Facts{
		Now: now, Before: ci.Queued, Status: ci.Queued, Known: true, LastEvent: 9,
		Trace: ci.Trace{ID: "5a4ea06b7d560d000116830f-0-build-acme-shop-1", State: "pending", Queued: ago(time.Hour), Runnable: ago(time.Hour)},
		State: ci.QueueState{Ready: true, Cursor: 9, Nodes: []ci.Node{{Name: "n1", State: "ready", Tasks: 4}}},
		Why:   ci.Reason{Code: "next", Text: "It is about to be placed."},
	}
	edit(&f)
	return f
}

func TestDiagnose(t *testing.T) {
	because := func(code string) func(*operator.Facts) {
		return func(f *operator.Facts) { f.Why = ci.Reason{Code: code, Text: "Because."} }
	}
	for name, c := range map[string]struct {
		code string
		edit func(*operator.Facts)
	}{
		"TRB08 nothing wrong":        {"", func(*operator.Facts) {}},
		"TRB08 dispatcher down":      {"dispatcher_down", func(f *operator.Facts) { f.Known, f.State.Cursor = false, 3 }},
		"TRB08 an event just come":   {"", func(f *operator.Facts) { f.Known, f.State.Cursor, f.Trace.Queued = false, 8, ago(time.Second) }},
		"TRB09 lost":                 {"lost_between_dispatchers", func(f *operator.Facts) { f.Known = false }},
		"TRB09 queued only just now": {"", func(f *operator.Facts) { f.Known, f.Before = false, ci.Blocked }},
		"TRB10 scheduler down":       {"scheduler_down", func(f *operator.Facts) { f.State.Ready = false }},
		"TRB10 cannot write":         {"scheduler_down", func(f *operator.Facts) { f.State.Unwritten = 5 }},
		"TRB10 stopping":             {"paused", because("paused")},
		"TRB11 no nodes":             {"no_nodes", because("no_nodes")},
		"TRB11 drained":              {"all_draining", because("draining")},
		"TRB11 not ready":            {"nodes_down", because("nodes_down")},
		"TRB11 SCH17 full":           {"capacity_exhausted", because("capacity")},
		"TRB11 too big":              {"class_too_big", because("class_too_big")},
		"TRB11 cluster down":         {"cluster_down", func(f *operator.Facts) { because("no_nodes")(f); f.State.Trouble = "connection refused" }},
		"at the limit is no fault":   {"", because("usage_limit")},
		"placed just now":            {"", func(f *operator.Facts) { f.Trace.Placed = ago(time.Second) }},
		"TRB12 its agent does not start": {"agent_not_starting", func(f *operator.Facts) {
			f.Trace.Placed, f.Trace.Reason = ago(2*time.Minute), "image is missing"
		}},
		"TRB13 door blocked": {"agents_door_blocked", func(f *operator.Facts) {
			f.Trace.Placed, f.Trace.Alive = ago(time.Minute), ago(time.Minute)
		}},
		"TRB13 it says so at once": {"agents_door_blocked", func(f *operator.Facts) {
			f.Trace.Placed, f.Trace.Alive = ago(time.Second), ago(time.Second)
			f.Agent = `{"error":"rpc error: code = Unavailable desc = grpc: the connection is unavailable","level":"warning","msg":"error fetching config, retrying"}`
		}},
		"TRB13 until they fail": {"agents_door_blocked", func(f *operator.Facts) {
			f.Status, f.Trace.Reason = ci.InfraFailed, "3 agents were lost before its first step, the last one: its agent ran for 5m30s without asking for it"
		}},
		"TRB12 no output": {"output_not_arriving", func(f *operator.Facts) {
			f.Status, f.Trace.Claimed = ci.Running, ago(2*time.Minute)
		}},
		"TRB12 output": {"", func(f *operator.Facts) {
			f.Status, f.Trace.Claimed, f.Steps = ci.Running, ago(2*time.Minute), []ci.Step{{}}
		}},
		"TRB12 silent": {"node_silent", func(f *operator.Facts) {
			because("silent")(f)
			f.Status, f.Trace.Claimed = ci.Running, ago(time.Second)
		}},
		"failed": {"", func(f *operator.Facts) { f.Status = ci.Failed }},
	} {
		t.Run(name, func(t *testing.T) {
			d := operator.Diagnose(waiting(c.edit))
			if c.code == "" {
				require.Nil(t, d)
				return
			}
			require.NotNil(t, d)
			require.Equal(t, c.code, d.Code)
			require.NotEmpty(t, d.Text)
			require.NotEmpty(t, d.Fix, "what to do")
		})
	}
}

func TestQUE06_Hops(t *testing.T) {
	trace := ci.Trace{Queued: ago(100 * time.Second), Runnable: ago(60 * time.Second), Placed: ago(50 * time.Second), Claimed: ago(49 * time.Second)}
	steps := []ci.Step{{Kind: ci.StepEnvironment, Started: ago(49 * time.Second)}, {Kind: ci.StepRun, Started: ago(45 * time.Second)}}
	var got []string
	var sum float64
	for _, h := range operator.Hops(trace, steps, now) {
		got = append(got, h.Name)
		sum += h.Seconds
	}
	require.Equal(t, []string{"usage-queue", "run-queue", "placed", "claimed", "running"}, got)
	require.Equal(t, 100.0, sum, "no time is missing and none counts twice")
	trace.Ended = ago(5 * time.Second)
	hops := operator.Hops(trace, steps, now)
	require.Equal(t, 40.0, hops[4].Seconds)
	require.Len(t, operator.Hops(ci.Trace{Queued: ago(time.Second)}, nil, now), 1)
}
