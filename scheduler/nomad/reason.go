package nomad

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// askWhy is how often Nomad is asked why a job is not placed.
const askWhy = 3 * time.Second

// stuck takes note that Nomad has no node for a job yet.
func (c *Cluster) stuck(pl *place) {
	if pl.blocked.IsZero() {
		pl.blocked = time.Now()
	}
}

// explain asks for the reasons of what is stuck.
func (c *Cluster) explain(ctx context.Context) error {
	c.mu.Lock()
	var ask []*place
	now := time.Now()
	for _, pl := range c.places {
		if !pl.blocked.IsZero() && pl.alloc == "" && now.Sub(pl.reasons) >= askWhy && len(ask) < 50 {
			pl.reasons = now
			ask = append(ask, pl)
		}
	}
	c.mu.Unlock()
	for _, pl := range ask {
		evals, _, err := c.api.Jobs().Evaluations(pl.job, c.query(ctx, nil))
		if err = c.words(err); errors.Is(err, ci.ErrNotFound) {
			continue
		} else if err != nil {
			return fmt.Errorf("list evaluations of job %s: %w", pl.job, err)
		}
		if len(evals) == 0 {
			continue
		}
		latest := slices.MaxFunc(evals, func(a, b *api.Evaluation) int { return cmp.Compare(a.ModifyIndex, b.ModifyIndex) })
		for _, e := range evals {
			if len(e.FailedTGAllocs) > 0 && (len(latest.FailedTGAllocs) == 0 || e.ModifyIndex > latest.ModifyIndex) {
				latest = e
			}
		}
		c.mu.Lock()
		c.because(pl, latest)
		c.mu.Unlock()
	}
	return nil
}

// because shows why an evaluation did not place a job.
func (c *Cluster) because(pl *place, e *api.Evaluation) {
	m := e.FailedTGAllocs[taskName]
	if m == nil || pl.alloc != "" || pl.dying {
		return
	}
	var ready, draining int
	for _, n := range c.nodes {
		switch n.State {
		case scheduler.NodeReady:
			ready++
		case scheduler.NodeDraining:
			draining++
		}
	}
	c.show(pl, scheduler.PlacementPending, "", why(m, pl.Resources, ready, draining, c.cfg.Nodes.Pool))
}

// why puts Nomad's figures about a placement that failed into words (operator's
// guide, "Jobs stay in pending status until Nomad has enough resources"). ready
// and draining count the nodes that are ours.
func why(m *api.AllocationMetric, need scheduler.Resources, ready, draining int, pool string) string {
	var parts []string
	switch {
	case ready == 0 && draining > 0:
		return "all " + number(draining, "client drains and takes", "clients drain and take") + " nothing new"
	case m.NodesEvaluated == 0 && ready == 0:
		return "Nomad has no client in node pool " + cmp.Or(m.NodePool, pool) + " that is ready"
	case m.NodesEvaluated == 0:
		return "Nomad finds no client for it in the datacenters and the pool that it may use"
	case m.NodesFiltered > 0 && m.NodesExhausted == 0:
		parts = append(parts, fmt.Sprintf("none of %s is fit", number(m.NodesEvaluated, "client", "clients")))
	}
	for _, text := range slices.Sorted(maps.Keys(m.ConstraintFiltered)) {
		parts = append(parts, fmt.Sprintf("%s excluded by %q", number(m.ConstraintFiltered[text], "is", "are"), text))
	}
	for _, class := range slices.Sorted(maps.Keys(m.ClassFiltered)) {
		if len(m.ConstraintFiltered) == 0 {
			parts = append(parts, fmt.Sprintf("%s of class %q excluded", number(m.ClassFiltered[class], "is", "are"), class))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(m.DimensionExhausted)) {
		parts = append(parts, fmt.Sprintf("%s short of %s", number(m.DimensionExhausted[what], "client is", "clients are"), what))
	}
	if m.NodesExhausted > 0 && len(m.DimensionExhausted) == 0 {
		parts = append(parts, number(m.NodesExhausted, "client is", "clients are")+" full")
	}
	if len(m.QuotaExhausted) > 0 {
		parts = append(parts, "the quota of the namespace is used up: "+strings.Join(m.QuotaExhausted, ", "))
	}
	if len(parts) == 0 {
		return "Nomad has not placed it"
	}
	return strings.Join(parts, ", ") + "; it needs " + need.String()
}
