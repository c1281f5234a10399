package operator

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Desk is a [ci.Operations]. It is safe for concurrent use.
type Desk struct {
	queue   Scheduler
	cluster Cluster
	read    Reader
	cfg     Config
}

// New returns a desk.
func New(q Scheduler, c Cluster, r Reader, cfg Config) *Desk {
	if cfg.Operator == nil {
		cfg.Operator = func(context.Context, ci.Actor) error { return nil }
	}
	if cfg.May == nil {
		cfg.May = func(context.Context, ci.Actor, ci.Project, bool) error { return nil }
	}
	if cfg.Record == nil {
		cfg.Record = func(_ context.Context, _ ci.Act, do func() error) error { return do() }
	}
	if cfg.JobURL == nil {
		cfg.JobURL = func(ci.Project, int64) string { return "" }
	}
	return &Desk{queue: q, cluster: c, read: r, cfg: cfg}
}

// State says how queue and nodes stand. Everybody who may log in may know.
func (d *Desk) State(context.Context, ci.Actor) (ci.QueueState, error) { return d.queue.State(), nil }

// Traces lists the hand-outs. It takes an operator, because it names projects.
func (d *Desk) Traces(ctx context.Context, waiting int, by ci.Actor) ([]ci.Trace, error) {
	if err := d.cfg.Operator(ctx, by); err != nil {
		return nil, fmt.Errorf("list hand-outs: %w", err)
	}
	return d.queue.Traces(waiting), nil
}

// AgentOutput opens what an agent has written. It takes an operator.
func (d *Desk) AgentOutput(ctx context.Context, t ci.Trace, stderr bool, by ci.Actor) (io.ReadCloser, error) {
	if err := d.cfg.Operator(ctx, by); err != nil {
		return nil, fmt.Errorf("read output of agent: %w", err)
	}
	return d.cluster.AgentOutput(ctx, t.Task, t.Epoch, stderr)
}

// FindNode returns the node with that name or identity, or the only one whose
// identity begins so. Several are [ci.ErrConflict].
func FindNode(nodes []ci.Node, name string) (ci.Node, error) {
	var found []ci.Node
	for _, n := range nodes {
		if n.Name == name || n.ID == name {
			return n, nil
		}
		if name != "" && strings.HasPrefix(n.ID, name) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return ci.Node{}, fmt.Errorf("node %.100q: there is none of that name or identity: %w", name, ci.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return ci.Node{}, fmt.Errorf("node %.100q: the identities of %d nodes begin so, give more of it: %w", name, len(found), ci.ErrConflict)
}

// DrainNode starts or ends a drain. It takes an operator and is on record.
func (d *Desk) DrainNode(ctx context.Context, node string, on bool, deadline time.Duration, by ci.Actor) (ci.Node, error) {
	if err := d.cfg.Operator(ctx, by); err != nil {
		return ci.Node{}, fmt.Errorf("drain node %.100s: %w", node, err)
	}
	if deadline < 0 || deadline > 0 && deadline < time.Second {
		return ci.Node{}, fmt.Errorf("drain node %.100s: the deadline must be a second or more, or 0 for none: %w", node, ci.ErrInvalid)
	}
	n, err := FindNode(d.queue.State().Nodes, node)
	if err != nil {
		return ci.Node{}, err
	}
	act := ci.Act{Action: "rondo.node.drain", Actor: by, Target: map[string]string{"type": "node", "id": n.ID, "name": n.Name}}
	if !on {
		act.Action = "rondo.node.ready"
	} else if deadline > 0 {
		act.Target["deadline"] = deadline.String()
	}
	if err := d.cfg.Record(ctx, act, func() error { return d.cluster.DrainNode(ctx, n.Name, on, deadline) }); err != nil {
		return n, err
	}
	d.settle(ctx, &n, on)
	return n, nil
}

// settle waits a moment until the scheduler, too, knows what the node does now.
func (d *Desk) settle(ctx context.Context, n *ci.Node, on bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if now, err := FindNode(d.queue.State().Nodes, n.ID); err == nil {
			if *n = now; n.Drain == on {
				return
			}
		}
		select {
		case <-ctx.Done():
			n.Drain = on // it was told; the list follows
			return
		case <-tick.C:
		}
	}
}

// place returns a ticket's place in a queue, for who asks.
func (d *Desk) place(ctx context.Context, t ci.Ticket, position int, by ci.Actor, projects map[ci.ProjectID]ci.Project) (ci.QueuePlace, error) {
	q := ci.QueuePlace{Position: position}
	p, known := projects[t.Task.Project]
	if !known {
		var err error
		if p, err = d.read.Project(ctx, t.Task.Project); err == nil {
			err = d.cfg.May(ctx, by, p, false)
		}
		if err != nil && !hidden(err) {
			return q, err
		}
		if err != nil {
			p = ci.Project{}
		}
		projects[t.Task.Project] = p
	}
	if p.ID == "" {
		return q, nil
	}
	q.Task, q.Project, q.Job, q.Number = t.Task.ID, p.Slug, t.Task.Name, t.Task.Number
	q.BuildURL, q.Queued = d.cfg.JobURL(p, t.Task.Number), t.Task.Queued.UTC().Format(time.RFC3339)
	return q, nil
}

// names of the queues.
const (
	usage = "usage"
	run   = "run"
)

// Part returns the head and the tail of a queue. Tasks of projects that the
// actor may not read are there without a name.
func (d *Desk) Part(ctx context.Context, queue string, n int, by ci.Actor) (ci.QueuePart, error) {
	if queue != usage && queue != run {
		return ci.QueuePart{}, fmt.Errorf("queue %.40q: there are usage and run: %w", queue, ci.ErrInvalid)
	}
	if n < 0 || n > 1000 {
		return ci.QueuePart{}, fmt.Errorf("list queue: at most 1000 of each end, not %d: %w", n, ci.ErrInvalid)
	}
	first, last, total := d.cfg.Line(queue == usage, n)
	part := ci.QueuePart{Name: queue, Total: total, First: []ci.QueuePlace{}, Last: []ci.QueuePlace{}}
	projects := make(map[ci.ProjectID]ci.Project)
	for i, t := range slices.Concat(first, last) {
		position, to := i+1, &part.First
		if i >= len(first) {
			position, to = total-len(last)+i-len(first)+1, &part.Last
		}
		p, err := d.place(ctx, t, position, by, projects)
		if err != nil {
			return part, fmt.Errorf("list queue: %w", err)
		}
		*to = append(*to, p)
	}
	return part, nil
}
