package nomad

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

const (
	// outputTail is how much of the output of an agent is shown, and how much
	// is kept when it has ended.
	outputTail = 64 << 10
	keptTail   = 16 << 10
	// copyTime is how long the client may take to show what a dead agent said.
	copyTime = 5 * time.Second
)

// die writes down the end of an agent, while Nomad still knows of it, and then
// shows the placement dead.
func (c *Cluster) die(pl *place, a alloc) {
	if pl.dying || pl.State == scheduler.PlacementDead {
		return
	}
	pl.dying = true
	if pl.killer != nil {
		pl.killer.Stop()
	}
	c.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*copyTime)
		defer cancel()
		var said []byte
		if a.id != "" {
			copying, stop := context.WithTimeout(ctx, copyTime)
			if r, err := c.logs(copying, a.id, "stderr", keptTail); err == nil {
				said, _ = io.ReadAll(io.LimitReader(r, keptTail))
				_ = r.Close()
			} else {
				c.log.Info("output of a dead agent is out of reach", "task", pl.Task.ID, "lease", pl.Epoch, "err", err)
			}
			stop()
		}
		reason := epitaph(a, said)
		if err := c.books.bury(ctx, pl.Placement, reason, said); err != nil {
			c.log.Warn("keep the end of an agent", "task", pl.Task.ID, "lease", pl.Epoch, "err", err)
		}
		c.cfg.Ended(pl.Task.ID, pl.Epoch)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.show(pl, scheduler.PlacementDead, "", reason)
	})
}

// epitaph says in words how an agent ended, from the events of its task.
func epitaph(a alloc, said []byte) string {
	if a.task == nil {
		if a.description != "" {
			return a.description
		}
		return "Nomad ended it before it began: " + a.status
	}
	var parts []string
	failed := a.task.Failed || a.status == api.AllocClientStatusFailed
	for _, e := range a.task.Events {
		switch e.Type {
		case api.TaskReceived, api.TaskSetup, api.TaskStarted, api.TaskDriverMessage, "Not Restarting", "Building Task Directory":
		case api.TaskTerminated:
			parts = append(parts, ended(e))
			failed = failed || e.ExitCode != 0 || e.Signal != 0
		default:
			parts = append(parts, eventText(e))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "the agent ended")
	}
	text := strings.Join(parts, "; ")
	if line := lastLine(said); failed && line != "" {
		text += "; it said last: " + line
	}
	return text
}

// ended says what a process returned.
func ended(e *api.TaskEvent) string {
	code, signal := e.ExitCode, e.Signal
	if n, err := strconv.Atoi(e.Details["exit_code"]); err == nil {
		code = n
	}
	if n, err := strconv.Atoi(e.Details["signal"]); err == nil {
		signal = n
	}
	switch {
	case e.Details["oom_killed"] == "true":
		return "the agent ran out of memory and was killed"
	case signal != 0:
		return fmt.Sprintf("the agent was ended by signal %d", signal)
	case code != 0:
		return fmt.Sprintf("the agent ended with status %d", code)
	}
	return "the agent ended"
}

// eventText is an event in Nomad's words.
func eventText(e *api.TaskEvent) string {
	for _, text := range []string{e.DisplayMessage, e.Details["message"], e.Message} {
		if text = strings.TrimSpace(text); text != "" {
			return e.Type + ": " + text
		}
	}
	return e.Type
}

// lastLine is the last line of a text that says anything.
func lastLine(text []byte) string {
	line := bytes.TrimSpace(text)
	if i := bytes.LastIndexByte(line, '\n'); i >= 0 {
		line = line[i+1:]
	}
	if len(line) > 300 {
		line = line[:300]
	}
	return strings.ToValidUTF8(string(line), "?")
}

// logs opens the end of what an allocation has written, through the server.
func (c *Cluster) logs(ctx context.Context, alloc, kind string, tail int) (io.ReadCloser, error) {
	r, err := c.api.Raw().Response("/v1/client/fs/logs/"+alloc, c.query(ctx, map[string]string{
		"task": taskName, "type": kind, "origin": "end", "offset": strconv.Itoa(tail), "plain": "true",
	}))
	return r, c.words(err)
}

// Output opens the end of what the agent itself has written. When Nomad has
// forgotten it, that is what was kept at its end: standard error.
func (c *Cluster) Output(ctx context.Context, p scheduler.Placement, stderr bool) (io.ReadCloser, error) {
	r, err := c.output(ctx, p, stderr)
	if err != nil {
		return nil, fmt.Errorf("output of task %s epoch %d: %w", p.Task.ID, p.Epoch, err)
	}
	return r, nil
}

func (c *Cluster) output(ctx context.Context, p scheduler.Placement, stderr bool) (io.ReadCloser, error) {
	if err := c.known(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	var id string
	if pl := c.places[keyOf(p)]; pl != nil {
		id = pl.alloc
	}
	c.mu.Unlock()
	if stderr {
		if said, ok, err := c.books.said(ctx, p); err != nil {
			return nil, err
		} else if ok {
			return io.NopCloser(bytes.NewReader(said)), nil
		}
	}
	if id == "" {
		return nil, fmt.Errorf("Nomad has started no agent for it, or forgotten it: %w", ci.ErrNotFound)
	}
	kind := "stdout"
	if stderr {
		kind = "stderr"
	}
	return c.logs(ctx, id, kind, outputTail)
}
