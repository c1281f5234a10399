package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/cmd/internal/screen"
	"golang.org/x/term"
)

// console is what a server prints: lines for people, or JSON.
type console struct {
	out    io.Writer
	json   bool
	colour bool
	in     *installation

	mu        sync.Mutex
	pipelines map[ci.PipelineID]int64
	begun     map[ci.JobID]time.Time
}

func newConsole(out *os.File, asJSON bool, in *installation) *console {
	return &console{
		out: out, json: asJSON, in: in,
		colour:    !asJSON && term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == "",
		pipelines: map[ci.PipelineID]int64{}, begun: map[ci.JobID]time.Time{},
	}
}

// started prints the text, or with JSON the object.
func (c *console) started(text string, object map[string]string) {
	if c.json {
		c.print(object)
		return
	}
	fmt.Fprintln(c.out, text)
}

// stopping says that Ctrl-C was heard.
func (c *console) stopping() {
	if !c.json {
		fmt.Fprintln(c.out, "\nStopping: jobs that run are stopped and run again after the next start. Ctrl-C again ends at once.")
	}
}

// follow prints events until ctx ends.
func (c *console) follow(ctx context.Context, after uint64) error {
	for e, err := range c.in.engine.Server.Follow(ctx, after) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if c.json {
			c.print(e)
		} else if text := c.line(ctx, e); text != "" {
			fmt.Fprintf(c.out, "%s  %s\n", e.Time.Local().Format("15:04:05"), text)
		}
	}
	return nil
}

func (c *console) print(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = json.NewEncoder(c.out).Encode(v)
}

// line is what people read of an event; "" is nothing.
func (c *console) line(ctx context.Context, e ci.Event) string {
	if e.Kind == ci.PipelineCreated {
		c.pipelines[e.Pipeline] = e.Number
	}
	number, known := c.pipelines[e.Pipeline]
	if !known {
		if p, err := c.in.db.Pipeline(ctx, e.Pipeline); err == nil {
			number = p.Number
			c.pipelines[e.Pipeline] = number
		}
	}
	e.Name, e.Reason = screen.Text(e.Name), screen.Text(e.Reason) // they come from the repository
	what := fmt.Sprintf("#%d %s", number, e.Name)
	switch e.Kind {
	case ci.PipelineCreated:
		return fmt.Sprintf("#%d pipeline for %s", number, e.Name)
	case ci.PipelineErrored:
		return fmt.Sprintf("%s #%d %s: %s", c.mark(ci.Failed), number, e.Name, c.problems(ctx, e))
	case ci.PipelinePlanned:
		return c.warnings(ctx, e, number)
	case ci.JobStarted:
		c.begun[e.Job] = e.Time
		return fmt.Sprintf("%s %s", c.mark(ci.Running), what)
	case ci.JobHeld:
		return fmt.Sprintf("%s %s waits for approval: %s/workflows/%s", c.mark(ci.OnHold), what, c.in.url, e.Workflow)
	case ci.JobRequeued:
		return fmt.Sprintf("%s %s waits again: %s", c.mark(ci.Queued), what, e.Reason)
	case ci.JobEnded:
		return c.ended(e, what)
	case ci.WorkflowEnded:
		return fmt.Sprintf("%s #%d workflow %s: %s", c.mark(e.Status), number, e.Name, e.Status)
	}
	return ""
}

// ended tells of a job's end, with its page when something went wrong.
func (c *console) ended(e ci.Event, what string) string {
	text := fmt.Sprintf("%s %s %s", c.mark(e.Status), what, e.Status)
	if at, ok := c.begun[e.Job]; ok {
		text += " in " + e.Time.Sub(at).Round(10*time.Millisecond).String()
		delete(c.begun, e.Job)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Status.Bad() && e.Number > 0 {
		text += "\n            " + c.jobURL(e)
	}
	return text
}

// jobURL is the address of the page of an event's job.
func (c *console) jobURL(e ci.Event) string {
	p, err := c.in.db.Project(context.Background(), e.Project)
	if err != nil {
		return c.in.url + web.WorkflowPath(e.Workflow)
	}
	return c.in.jobURL(p, e.Number)
}

// problems lists what is wrong with a configuration.
func (c *console) problems(ctx context.Context, e ci.Event) string {
	p, err := c.in.db.Pipeline(ctx, e.Pipeline)
	if err != nil || len(p.Errors) < 2 {
		return e.Reason
	}
	text := fmt.Sprintf("%d mistakes", len(p.Errors))
	for _, problem := range p.Errors {
		text += "\n            " + screen.Text(problem)
	}
	return text
}

// warnings lists the bad habits of a configuration; "" when it has none.
func (c *console) warnings(ctx context.Context, e ci.Event, number int64) string {
	p, err := c.in.db.Pipeline(ctx, e.Pipeline)
	if err != nil || len(p.Warnings) == 0 {
		return ""
	}
	text := fmt.Sprintf("%s #%d %s: warnings of the configuration", c.mark(ci.Queued), number, e.Name)
	for _, w := range p.Warnings {
		text += "\n            " + w
	}
	return text
}

// mark is a sign for a status, in colour on a terminal.
func (c *console) mark(s ci.Status) string { return screen.Mark(s, c.colour) }
