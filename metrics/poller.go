package metrics

import (
	"context"
	"fmt"
	"time"
)

// JobCounts are the jobs of a cluster by status, as the operations guide counts
// them: a dead job is over, well or not; a complete one ended well.
type JobCounts struct{ Pending, Running, Complete, Dead int }

// A Poller is an [Input] that gives the five figures
// circle.nomad.server_agent.*: those of [JobCounts], and poll_failure. When the
// poll fails there are no job figures, since stale ones would mislead alarms;
// the hub says once on its log that it fails. It is silent when healthy.
type Poller struct {
	// Poll counts the jobs of the cluster.
	Poll func(ctx context.Context) (JobCounts, error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Gather implements [Input].
func (p Poller) Gather(ctx context.Context) ([]Sample, error) {
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	const prefix = "circle.nomad.server_agent."
	at := now()
	gauge := func(name string, v int) Sample {
		return Sample{Name: prefix + name, Kind: Gauge, Value: float64(v), Time: at}
	}
	n, err := p.Poll(ctx)
	if err != nil {
		return []Sample{gauge("poll_failure", 1)}, fmt.Errorf("poll the cluster: %w", err)
	}
	return []Sample{
		gauge("poll_failure", 0), gauge("jobs.pending", n.Pending), gauge("jobs.running", n.Running),
		gauge("jobs.complete", n.Complete), gauge("jobs.dead", n.Dead),
	}, nil
}
