package nomad

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/internal/feed"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

// Submit gives the placement to a warm agent that waits, or registers a job for
// it. The same one again finds the job that there is: its ID follows from task
// and epoch, and is registered only if it is new.
func (c *Cluster) Submit(ctx context.Context, p scheduler.Placement) error {
	if err := c.submit(ctx, p); err != nil {
		return fmt.Errorf("submit task %s epoch %d: %w", p.Task.ID, p.Epoch, err)
	}
	return nil
}

func (c *Cluster) submit(ctx context.Context, p scheduler.Placement) error {
	if err := valid(p); err != nil {
		return err
	}
	text, err := c.pointTo(p)
	if err != nil {
		return err
	}
	if err := c.known(ctx); err != nil {
		return err
	}
	// The same placement at once would find a warm agent and a job of its own.
	leave, err := c.enter(ctx, keyOf(p))
	if err != nil {
		return err
	}
	defer leave()
	if taken := c.taken(p); taken {
		return nil
	}
	c.mu.Lock()
	blind := len(c.nodes) == 0
	c.mu.Unlock()
	if blind {
		if _, err := c.lookAtNodes(ctx); err != nil {
			return err
		}
	}
	target, err := c.target(p)
	if err != nil {
		return err
	}
	if done, err := c.giveWarm(ctx, p); done || err != nil {
		return err
	}
	c.mu.Lock()
	c.tried[keyOf(p)] = true
	c.mu.Unlock()
	signed, err := c.signs(ctx)
	if err != nil {
		return err
	}
	job, err := c.send(ctx, p, target, text, signed)
	if err != nil {
		return err
	}
	pl := &place{Placement: p, job: job, signed: signed, sent: time.Now()}
	pl.Token, pl.State, pl.Reason = "", scheduler.PlacementPending, "Nomad is placing it"
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places[keyOf(p)] == nil {
		c.add(pl)
		if a, ok := c.early[job]; ok {
			delete(c.early, job)
			c.observe(a)
		}
	}
	if !c.streams {
		feed.Signal(c.look)
	}
	return nil
}

// enter lets one Submit of a placement through at a time.
func (c *Cluster) enter(ctx context.Context, k key) (leave func(), err error) {
	for {
		c.mu.Lock()
		other := c.submitting[k]
		if other == nil {
			done := make(chan struct{})
			c.submitting[k] = done
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.submitting, k)
				close(done)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// taken reports whether the placement is there already. If its warm agent
// still waits to be told, it is told now: an earlier server may have died
// before.
func (c *Cluster) taken(p scheduler.Placement) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	pl := c.places[keyOf(p)]
	if pl == nil {
		return false
	}
	if w := c.warm[pl.warm]; w != nil && w.told == nil && pl.State != scheduler.PlacementDead {
		c.tellWarm(w, p)
	}
	return true
}

// target returns the ID of the node that the queue has in mind.
func (c *Cluster) target(p scheduler.Placement) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Node == "" {
		return "", nil
	}
	n := c.nodeNamed(p.Node)
	switch {
	case n == nil:
		return "", fmt.Errorf("Nomad has no client %s: %w", p.Node, ci.ErrConflict)
	case n.State != scheduler.NodeReady:
		return "", fmt.Errorf("node %s takes nothing new, %s: %w", p.Node, n.Reason, ci.ErrConflict)
	}
	return n.ID, nil
}

// send makes the job, and returns Nomad's ID of it.
func (c *Cluster) send(ctx context.Context, p scheduler.Placement, target string, text []byte, signed bool) (string, error) {
	meta, err := c.meta(p, signed)
	if err != nil {
		return "", err
	}
	if c.cfg.Dispatch {
		return c.dispatch(ctx, p, meta, text, signed)
	}
	id := meta[metaID]
	_, _, err = c.api.Jobs().EnforceRegister(c.job(id, meta, p.Resources, target, text, signed), 0, c.write(ctx))
	if exists(err) {
		return id, nil
	}
	return id, c.words(err)
}

// dispatch starts an instance of the job for that size of task. Nomad itself
// remembers which placement it was for, as long as the instance is there.
func (c *Cluster) dispatch(ctx context.Context, p scheduler.Placement, meta map[string]string, text []byte, signed bool) (string, error) {
	for try := 0; ; try++ {
		parent, err := c.parent(ctx, p.Resources, signed)
		if err != nil {
			return "", err
		}
		w := c.write(ctx)
		w.IdempotencyToken = fmt.Sprintf("%s.%d", p.Task.ID, p.Epoch)
		done, _, err := c.api.Jobs().DispatchOpts(&api.DispatchOptions{JobID: parent, Meta: meta, Payload: text}, w)
		if err = c.words(err); err == nil {
			return done.DispatchedJobID, nil
		}
		c.mu.Lock()
		delete(c.parents, parent)
		c.mu.Unlock()
		if !errors.Is(err, ci.ErrNotFound) || try > 0 {
			return "", err
		}
	}
}

// payloadFile is where a dispatched agent finds what it is told.
const payloadFile = "placement.json"

// parent makes sure that there is a job to dispatch for the size, and returns
// its ID, which follows from all that is in it.
func (c *Cluster) parent(ctx context.Context, need scheduler.Resources, signed bool) (string, error) {
	j := c.job("", nil, need, "", nil, signed)
	j.ParameterizedJob = &api.ParameterizedJobConfig{
		Payload: "required", MetaRequired: []string{metaOwner, metaTask, metaEpoch, metaNode, metaID, metaNeed, metaSigned},
	}
	t := j.TaskGroups[0].Tasks[0]
	t.DispatchPayload = &api.DispatchPayloadConfig{File: payloadFile}
	t.Env[pointer.EnvFile] = "${NOMAD_TASK_DIR}/" + payloadFile
	text, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	id := c.cfg.Name + "-agent-" + hex.EncodeToString(sum[:6])
	c.mu.Lock()
	there := c.parents[id]
	c.mu.Unlock()
	if there {
		return id, nil
	}
	j.ID, j.Name = &id, &id
	if _, _, err := c.api.Jobs().Register(j, c.write(ctx)); err != nil {
		return "", fmt.Errorf("register job %s: %w", id, c.words(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parents[id] = true
	return id, nil
}
