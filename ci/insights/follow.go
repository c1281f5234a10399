package insights

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// gather is how long ended workflows are collected before they are written
// together, and flush how many are written at once at most.
const (
	gather = time.Second
	flush  = 100
)

// cursorEvery is after how many events without an ended workflow the place is
// noted, so that a restart does not read them all again.
const cursorEvery = 5000

// longestWait bounds the wait after a fault.
const longestWait = time.Minute

// Run remembers every workflow that ends, from where the last Run stopped,
// until ctx ends; then it returns nil. follow yields all events after a number
// and waits for more (ci.Server.Follow). After a fault it goes on from the last
// write, a while later: nobody's builds wait for figures. One Run at a time.
func (in *Insights) Run(ctx context.Context, follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]) error {
	wait := time.Second
	for ctx.Err() == nil {
		begun := time.Now()
		err := in.follow(ctx, follow)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(begun) > longestWait { // it went well for a time
			wait = time.Second
		}
		in.log.Error("follow workflows for insights, will try again", "wait", wait, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
	return nil
}

// follow remembers workflows until something fails or ctx ends.
func (in *Insights) follow(ctx context.Context, follow func(ctx context.Context, after uint64) iter.Seq2[ci.Event, error]) error {
	cursor, err := in.cursor(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	events := make(chan ci.Event)
	fault := make(chan error, 1)
	go func() {
		defer close(events)
		for e, err := range follow(ctx, cursor) {
			if err != nil {
				fault <- err
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range events {
		}
	}()
	if err := in.collect(ctx, events, cursor); err != nil {
		return err
	}
	select {
	case err := <-fault:
		return err
	default:
		return errors.New("the events have ended")
	}
}

// collect writes what ended, a while after it did.
func (in *Insights) collect(ctx context.Context, events <-chan ci.Event, cursor uint64) error {
	timer := time.NewTimer(gather)
	timer.Stop()
	noted := cursor
	var ended []ci.WorkflowID
	for {
		due := false
		select {
		case e, more := <-events:
			if !more {
				return nil
			}
			cursor = e.Seq
			if e.Kind == ci.WorkflowEnded {
				if len(ended) == 0 {
					timer.Reset(gather)
				}
				ended = append(ended, e.Workflow)
			}
			due = len(ended) >= flush || len(ended) == 0 && cursor-noted >= cursorEvery
		case <-timer.C:
			due = true
		}
		if !due {
			continue
		}
		if err := in.note(ctx, ended, cursor); err != nil {
			return err
		}
		ended, noted = nil, cursor
	}
}

func (in *Insights) cursor(ctx context.Context) (uint64, error) {
	d, err := in.docs.Doc(ctx, kindCursor, kindCursor)
	if hidden(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(d.Body), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the place in the events is damaged: %w", err)
	}
	return n, nil
}

// note writes the runs of workflows and the place in the events, at once.
func (in *Insights) note(ctx context.Context, ended []ci.WorkflowID, cursor uint64) error {
	changes := []ci.DocChange{{Doc: ci.Doc{
		Kind: kindCursor, ID: kindCursor, Body: strconv.AppendUint(nil, cursor, 10), Version: ci.AnyVersion,
	}}}
	b := &batch{in: in, known: map[string]*known{}, flaky: map[string]*ci.FlakyTest{}}
	for i, id := range ended {
		if slices.Contains(ended[i+1:], id) { // it ended again
			continue
		}
		if err := b.add(ctx, id); err != nil && !hidden(err) {
			return err
		}
	}
	more, err := b.changes()
	if err != nil {
		return err
	}
	if _, err := in.docs.WriteDocs(ctx, append(changes, more...)...); err != nil {
		return err
	}
	return in.forget(ctx)
}

// forget removes what is too old, a little at a time.
func (in *Insights) forget(ctx context.Context) error {
	for _, kind := range []string{kindRun, kindWorkflow, kindFlaky} {
		var old []ci.DocChange
		for d, err := range in.docs.DueDocs(ctx, kind, in.now(), 2*flush) {
			if err != nil {
				return err
			}
			old = append(old, ci.DocChange{Doc: d, Delete: true})
		}
		if len(old) == 0 {
			continue
		}
		if _, err := in.docs.WriteDocs(ctx, old...); err != nil && !errors.Is(err, ci.ErrConflict) {
			return err // a conflict is another server, or a flaky test that came again
		}
	}
	return nil
}

// known is what is remembered of a workflow by name.
type known struct {
	Project  ci.ProjectID `json:"-"`
	Name     string       `json:"-"`
	Branches []string     `json:"branches"`
	last     time.Time
}

// maxName is the size in bytes of the longest name of a workflow that is
// remembered: its runs are kept under it.
const maxName = 4096

// maxBranches bounds the branches that are remembered; the newest stay.
const maxBranches = 500

// A batch is what is written at once.
type batch struct {
	in    *Insights
	runs  []ci.DocChange
	added []added
	known map[string]*known
	flaky map[string]*ci.FlakyTest
	owner map[string]ci.ProjectID
}

// An added run is not in the documents yet.
type added struct {
	scope string
	run   ci.Run
}

// add adds the run of a workflow.
func (b *batch) add(ctx context.Context, id ci.WorkflowID) error {
	w, err := b.in.read.Workflow(ctx, id)
	if err != nil || !w.Status.Ended() { // a retry has made it run again
		return err
	}
	if len(w.Name) > maxName {
		b.in.log.Warn("insights leave out a workflow with a name that nobody can read", "project", w.Project, "workflow", id, "bytes", len(w.Name))
		return nil
	}
	p, err := b.in.read.Pipeline(ctx, w.Pipeline)
	if err != nil {
		return err
	}
	if room, err := b.room(ctx, w.Project, w.Name); err != nil || !room {
		return err
	}
	r, tests, err := b.in.runOf(ctx, &w, p)
	if err != nil {
		return err
	}
	body, err := fitting(&r)
	if err != nil {
		return err
	}
	b.runs = append(b.runs, ci.DocChange{Doc: ci.Doc{
		Kind: kindRun, ID: string(w.ID), Scope: scopeOf(w.Project, w.Name), Name: stamp(r.Stopped) + "/" + string(w.ID),
		Body: body, Due: r.Stopped.Add(Kept), Version: ci.AnyVersion,
	}})
	if err := b.remember(ctx, w.Project, r); err != nil {
		return err
	}
	err = b.flakes(ctx, &w, r, tests)
	b.added = append(b.added, added{scopeOf(w.Project, w.Name), r})
	return err
}

// maxWorkflows bounds the names of workflows that are remembered of a project:
// every figure of it asks for each.
const maxWorkflows = 1000

// room reports whether the workflow is known, or may become it.
func (b *batch) room(ctx context.Context, p ci.ProjectID, name string) (bool, error) {
	if b.known[scopeOf(p, name)] != nil {
		return true, nil
	}
	if _, err := b.in.docs.DocNamed(ctx, kindWorkflow, string(p), name); !hidden(err) {
		return true, err
	}
	n, err := ci.CountDocs(b.in.docs.Docs(ctx, ci.DocQuery{Kind: kindWorkflow, Scope: string(p), Limit: maxWorkflows}))
	if err != nil {
		return false, err
	}
	for _, k := range b.known { // those that are written already are counted twice
		if k.Project == p {
			n++
		}
	}
	if n >= maxWorkflows {
		b.in.log.Warn("insights leave out a workflow, the project has too many", "project", p, "most", maxWorkflows)
	}
	return n < maxWorkflows, nil
}

// fitting returns the run as it fits a document. What makes one too large goes,
// the least telling first: hundreds of jobs with long names of tests lose those,
// and thousands of jobs the figures of each.
func fitting(r *ci.Run) ([]byte, error) {
	body, err := json.Marshal(r)
	if err == nil && len(body) > ci.MaxDoc/2 {
		for i := range r.Jobs {
			r.Jobs[i].Failures, r.Jobs[i].Slowest = nil, nil
		}
		body, err = json.Marshal(r)
	}
	if err == nil && len(body) > ci.MaxDoc/2 {
		r.Jobs = nil
		body, err = json.Marshal(r)
	}
	return body, err
}

// remember notes the workflow's name and branch.
func (b *batch) remember(ctx context.Context, p ci.ProjectID, r ci.Run) error {
	scope := scopeOf(p, r.Name)
	k := b.known[scope]
	if k == nil {
		k = &known{Project: p, Name: r.Name}
		d, err := b.in.docs.DocNamed(ctx, kindWorkflow, string(p), r.Name)
		if err == nil {
			err = json.Unmarshal(d.Body, k)
		}
		if err != nil && !hidden(err) {
			return err
		}
		b.known[scope] = k
	}
	k.last = r.Stopped
	if r.Branch != "" {
		k.Branches = slices.DeleteFunc(k.Branches, func(n string) bool { return n == r.Branch })
		k.Branches = append(k.Branches, r.Branch)
		k.Branches = k.Branches[max(0, len(k.Branches)-maxBranches):]
	}
	return nil
}

// changes returns the documents to write.
func (b *batch) changes() ([]ci.DocChange, error) {
	all := b.runs
	for scope, k := range b.known {
		body, err := json.Marshal(k)
		for err == nil && len(body) > ci.MaxDoc/2 { // the newest stay
			k.Branches = k.Branches[(len(k.Branches)+1)/2:]
			body, err = json.Marshal(k)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, ci.DocChange{Doc: ci.Doc{
			Kind: kindWorkflow, ID: scope, Scope: string(k.Project), Name: k.Name, Body: body,
			Due: k.last.Add(Kept), Version: ci.AnyVersion,
		}})
	}
	for id, f := range b.flaky {
		body, err := json.Marshal(f)
		if err != nil {
			return nil, err
		}
		if len(body) > ci.MaxDoc/2 {
			continue // nobody reads a name of that length either
		}
		all = append(all, ci.DocChange{Doc: ci.Doc{
			Kind: kindFlaky, ID: id, Scope: string(b.owner[id]), Body: body,
			Due: f.Last.Add(FlakyKept), Version: ci.AnyVersion,
		}})
	}
	slices.SortFunc(all, func(x, y ci.DocChange) int {
		return cmp.Or(cmp.Compare(x.Doc.Kind, y.Doc.Kind), cmp.Compare(x.Doc.ID, y.Doc.ID))
	})
	return all, nil
}
