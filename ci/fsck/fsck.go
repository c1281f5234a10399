package fsck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Source is what is checked. What is nil is left out.
type Source struct {
	Store   ci.Store
	Records ci.Records
	Tickets func(ctx context.Context) iter.Seq2[ci.Ticket, error]
	// Cursor is the number of the last event that the queue has taken in.
	Cursor func(ctx context.Context) (uint64, error)
	Docs   ci.Docs
	Kinds  []string // of documents
	// ReadLog opens the output of a step from its beginning.
	ReadLog func(ctx context.Context, k ci.LogKey) (io.ReadCloser, error)
	// Database and Audit check themselves.
	Database func(ctx context.Context) error
	Audit    func(ctx context.Context) error
}

// Config adjusts an examination. The zero Config works.
type Config struct {
	// Again is after how long what looks wrong is looked at once more; 0 is 7 s, a
	// little more than the queue needs to find out what became of lost agents,
	// and less than 0 is never, for an installation at rest.
	Again time.Duration
	// Quick reads no output and asks neither database nor audit log.
	Quick bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Examine yields what is wrong, part by part. An error says that the
// examination could not go on.
func Examine(ctx context.Context, s Source, cfg Config) iter.Seq2[Finding, error] {
	if cfg.Again == 0 {
		cfg.Again = 7 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return func(yield func(Finding, error) bool) {
		x := &exam{Source: s, cfg: cfg, yield: yield, projects: map[ci.ProjectID]bool{}, pipelines: map[ci.PipelineID]bool{}, workflows: map[ci.WorkflowID]ci.PipelineID{}}
		for _, part := range []func(context.Context) error{x.itself, x.everyProject, x.queue, x.events, x.documents} {
			err := part(ctx)
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				yield(Finding{}, fmt.Errorf("check what is stored: %w", err))
				return
			}
		}
	}
}

// errEnough says that the reader wants no more.
var errEnough = errors.New("enough")

// An exam is one examination.
type exam struct {
	Source
	cfg   Config
	yield func(Finding, error) bool

	projects  map[ci.ProjectID]bool
	pipelines map[ci.PipelineID]bool
	workflows map[ci.WorkflowID]ci.PipelineID
	tickets   map[ci.TaskID]ci.Ticket
	// unread are the jobs with events that the queue has not taken in yet: what it
	// knows of them may be too much or too little.
	unread map[ci.JobID]bool
	// ended says of each task that is known whether it has ended, and its epoch.
	tasks map[ci.TaskID]task
}

type task struct {
	ended bool
	epoch int64
}

// A list collects what one look finds.
type list []Finding

func (l *list) add(code Code, object, text, fix string) {
	*l = append(*l, Finding{code, object, text, fix})
}

// confirm yields what a look finds, and if the installation is in use a second
// look finds too.
func (x *exam) confirm(ctx context.Context, look func(ctx context.Context, l *list) error) error {
	var first list
	if err := look(ctx, &first); err != nil {
		return err
	}
	if len(first) > 0 && x.cfg.Again > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(x.cfg.Again):
		}
		if err := x.readTickets(ctx, nil); err != nil {
			return err
		}
		var second list
		if err := look(ctx, &second); err != nil {
			return err
		}
		var both list
		for _, f := range first {
			for _, g := range second {
				if f.Code == g.Code && f.Object == g.Object {
					both = append(both, g)
					break
				}
			}
		}
		first = both
	}
	for _, f := range first {
		if !x.yield(f, nil) {
			return errEnough
		}
	}
	return ctx.Err()
}

// itself lets database and audit log check themselves.
func (x *exam) itself(ctx context.Context) error {
	if x.cfg.Quick {
		return nil
	}
	return x.confirm(ctx, func(ctx context.Context, l *list) error {
		if x.Database != nil {
			if err := x.Database(ctx); err != nil {
				l.add(Database, "database", err.Error(), "stop the server and restore a backup; keep the damaged files")
			}
		}
		if x.Audit != nil {
			if err := x.Audit(ctx); err != nil {
				l.add(AuditChain, "audit log", err.Error(), "see rondo-server audit verify, which names the first bad line")
			}
		}
		return nil
	})
}

// events checks that their numbers have no gaps, and what they tell of.
func (x *exam) events(ctx context.Context) error {
	var last uint64
	var damaged list
	for e, err := range x.Store.Events(ctx, 0) {
		if err != nil {
			return fmt.Errorf("events after %d: %w", last, err)
		}
		object := fmt.Sprintf("event %d", e.Seq)
		if e.Seq != last+1 {
			damaged.add(EventGap, object, fmt.Sprintf("comes behind event %d", last), "followers may have missed something: rebuild insights, and ask webhooks again")
		}
		last = e.Seq
		if e.Time.After(x.cfg.Now().Add(time.Hour)) {
			damaged.add(EventTime, object, "is of "+e.Time.UTC().Format(time.RFC3339)+", in the future", "check the clock of the server")
		}
		if e.Pipeline != "" && !x.pipelines[e.Pipeline] {
			if _, err := x.Store.Pipeline(ctx, e.Pipeline); errors.Is(err, ci.ErrNotFound) {
				damaged.add(EventOrphan, object, fmt.Sprintf("tells of pipeline %s, which does not exist", e.Pipeline), "none is needed if the pipeline was deleted")
			}
			x.pipelines[e.Pipeline] = true // it was told once, or began meanwhile
			continue
		}
		if e.Workflow == "" {
			continue
		}
		if _, ok := x.workflows[e.Workflow]; !ok {
			w, err := x.Store.Workflow(ctx, e.Workflow)
			x.workflows[e.Workflow] = w.Pipeline
			if errors.Is(err, ci.ErrNotFound) {
				x.workflows[e.Workflow] = e.Pipeline
				damaged.add(EventWorkflow, object, fmt.Sprintf("tells of workflow %s, which does not exist", e.Workflow), "restore a backup, or leave it")
			}
		}
		if p := x.workflows[e.Workflow]; p != "" && p != e.Pipeline {
			damaged.add(EventWorkflow, object, fmt.Sprintf("says that workflow %s is of pipeline %s, and it is of %s", e.Workflow, e.Pipeline, p), "restore a backup, or leave it")
		}
	}
	for _, f := range damaged { // what was written is not changed any more
		if !x.yield(f, nil) {
			return errEnough
		}
	}
	return ctx.Err()
}
