package ci_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// memStore is the smallest ci.Store that keeps the contract to the letter: it
// gives and takes copies, writes nothing when a change returns no events, and
// calls every change twice, since a database may have to. The tests of ci use
// it so that they need no other package; storage/memdb is the reference.
type memStore struct {
	mu        sync.Mutex
	projects  map[ci.ProjectID]ci.Project
	pipelines []ci.Pipeline
	plans     map[ci.PipelineID]*ci.Plan
	workflows []ci.Workflow
	home      map[ci.JobID]ci.WorkflowID // the workflow a job was made in
	numbers   map[ci.ProjectID]int64     // the last job number
	events    []ci.Event
	changed   chan struct{}
	// fault, when set, is asked before each call; an error is returned as it
	// is. See failing.
	fault func(method string) error
}

func newMemStore(projects ...ci.Project) *memStore {
	m := &memStore{
		projects: map[ci.ProjectID]ci.Project{}, plans: map[ci.PipelineID]*ci.Plan{},
		home: map[ci.JobID]ci.WorkflowID{}, numbers: map[ci.ProjectID]int64{},
		changed: make(chan struct{}),
	}
	for _, p := range projects {
		m.projects[p.ID] = p
	}
	return m
}

// clone returns a deep copy of what JSON can carry.
func clone[T any](v T) T {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out T
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

// enter takes the lock, or returns the fault that the test asked for.
func (m *memStore) enter(ctx context.Context, method string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.fault != nil {
		if err := m.fault(method); err != nil {
			m.mu.Unlock()
			return err
		}
	}
	return nil
}

// failing makes calls fail from now on.
func (m *memStore) failing(fault func(method string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

func (m *memStore) append(events []ci.Event) {
	for _, e := range events {
		e.Seq = uint64(len(m.events) + 1)
		m.events = append(m.events, clone(e))
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memStore) PutProject(ctx context.Context, p ci.Project) error {
	if err := m.enter(ctx, "PutProject"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	m.projects[p.ID] = p
	return nil
}

func (m *memStore) Project(ctx context.Context, id ci.ProjectID) (ci.Project, error) {
	if err := m.enter(ctx, "Project"); err != nil {
		return ci.Project{}, err
	}
	defer m.mu.Unlock()
	p, ok := m.projects[id]
	if !ok {
		return ci.Project{}, fmt.Errorf("project %s: %w", id, ci.ErrNotFound)
	}
	return p, nil
}

func (m *memStore) ProjectBySlug(ctx context.Context, slug string) (ci.Project, error) {
	for p, err := range m.Projects(ctx) {
		if err != nil || p.Slug == slug {
			return p, err
		}
	}
	return ci.Project{}, fmt.Errorf("project %s: %w", slug, ci.ErrNotFound)
}

func (m *memStore) Projects(ctx context.Context) iter.Seq2[ci.Project, error] {
	return func(yield func(ci.Project, error) bool) {
		m.mu.Lock()
		var all []ci.Project
		for _, p := range m.projects {
			all = append(all, p)
		}
		m.mu.Unlock()
		slices.SortFunc(all, func(a, b ci.Project) int { return compare(a.Slug, b.Slug) })
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (m *memStore) Create(ctx context.Context, p ci.Pipeline, events ...ci.Event) (ci.Pipeline, bool, error) {
	if err := m.enter(ctx, "Create"); err != nil {
		return ci.Pipeline{}, false, err
	}
	defer m.mu.Unlock()
	number := int64(1)
	for _, old := range m.pipelines {
		if old.Trigger.Project != p.Trigger.Project {
			continue
		}
		if p.Trigger.Key != "" && old.Trigger.Key == p.Trigger.Key {
			return clone(old), false, nil
		}
		number++
	}
	p.Number = number
	events = slices.Clone(events)
	for i := range events {
		events[i].Number = number
	}
	m.pipelines = append(m.pipelines, clone(p))
	m.append(events)
	return clone(p), true, nil
}

func (m *memStore) Start(ctx context.Context, id ci.PipelineID, change func(*ci.Pipeline) ([]ci.Workflow, []ci.Event, error)) error {
	if err := m.enter(ctx, "Start"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.pipelines, func(p ci.Pipeline) bool { return p.ID == id })
	if i < 0 {
		return fmt.Errorf("pipeline %s: %w", id, ci.ErrNotFound)
	}
	discarded := clone(m.pipelines[i])
	_, _, _ = change(&discarded)
	p := clone(m.pipelines[i])
	workflows, events, err := change(&p)
	if err != nil {
		return err
	}
	if p.Plan != nil {
		m.plans[id] = new(clone(*p.Plan))
		p.Plan = nil
	}
	m.pipelines[i] = p
	for _, w := range workflows {
		m.number(&w, events)
		m.workflows = append(m.workflows, clone(w))
	}
	m.append(events)
	return nil
}

// number gives the new build jobs of the workflow their numbers, in the events
// too, and remembers where they were made.
func (m *memStore) number(w *ci.Workflow, events []ci.Event) {
	for i := range w.Jobs {
		j := &w.Jobs[i]
		if _, known := m.home[j.ID]; !known {
			m.home[j.ID] = w.ID
		}
		if j.Type != ci.JobBuild || j.Number != 0 {
			continue
		}
		m.numbers[w.Project]++
		j.Number = m.numbers[w.Project]
		for k := range events {
			if events[k].Job == j.ID {
				events[k].Number = j.Number
				if events[k].Task != nil {
					events[k].Task.Number = j.Number
				}
			}
		}
	}
}

func (m *memStore) Pipeline(ctx context.Context, id ci.PipelineID) (ci.Pipeline, error) {
	if err := m.enter(ctx, "Pipeline"); err != nil {
		return ci.Pipeline{}, err
	}
	defer m.mu.Unlock()
	for _, p := range m.pipelines {
		if p.ID == id {
			return clone(p), nil
		}
	}
	return ci.Pipeline{}, fmt.Errorf("pipeline %s: %w", id, ci.ErrNotFound)
}

func (m *memStore) Plan(ctx context.Context, id ci.PipelineID) (*ci.Plan, error) {
	if err := m.enter(ctx, "Plan"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if p := m.plans[id]; p != nil {
		return new(clone(*p)), nil
	}
	return nil, fmt.Errorf("plan of pipeline %s: %w", id, ci.ErrNotFound)
}

func (m *memStore) Pipelines(ctx context.Context, q ci.Query) iter.Seq2[ci.Pipeline, error] {
	return func(yield func(ci.Pipeline, error) bool) {
		if err := m.enter(ctx, "Pipelines"); err != nil {
			yield(ci.Pipeline{}, err)
			return
		}
		var page []ci.Pipeline
		seen := q.Before == ""
		if q.Limit == 0 {
			q.Limit = 20
		}
		for _, p := range slices.Backward(m.pipelines) {
			if seen && len(page) < q.Limit &&
				(q.Project == "" || q.Project == p.Trigger.Project) &&
				(q.Branch == "" || q.Branch == p.Trigger.Branch) &&
				(q.State == "" || q.State == p.State) {
				page = append(page, clone(p))
			}
			seen = seen || p.ID == q.Before
		}
		m.mu.Unlock()
		for _, p := range page {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (m *memStore) Workflow(ctx context.Context, id ci.WorkflowID) (ci.Workflow, error) {
	if err := m.enter(ctx, "Workflow"); err != nil {
		return ci.Workflow{}, err
	}
	defer m.mu.Unlock()
	for _, w := range m.workflows {
		if w.ID == id {
			return clone(w), nil
		}
	}
	return ci.Workflow{}, fmt.Errorf("workflow %s: %w", id, ci.ErrNotFound)
}

func (m *memStore) Workflows(ctx context.Context, id ci.PipelineID) ([]ci.Workflow, error) {
	if err := m.enter(ctx, "Workflows"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var out []ci.Workflow
	for _, w := range m.workflows {
		if w.Pipeline == id {
			out = append(out, clone(w))
		}
	}
	return out, nil
}

func (m *memStore) Open(ctx context.Context, id ci.ProjectID) iter.Seq2[ci.WorkflowID, error] {
	return func(yield func(ci.WorkflowID, error) bool) {
		if err := m.enter(ctx, "Open"); err != nil {
			yield("", err)
			return
		}
		var open []ci.WorkflowID
		for _, w := range m.workflows {
			if !w.Status.Ended() && (id == "" || id == w.Project) {
				open = append(open, w.ID)
			}
		}
		m.mu.Unlock()
		for _, id := range open {
			if !yield(id, nil) {
				return
			}
		}
	}
}

func (m *memStore) Update(ctx context.Context, id ci.WorkflowID, change func(*ci.Workflow) ([]ci.Event, error)) error {
	if err := m.enter(ctx, "Update"); err != nil {
		return err
	}
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.workflows, func(w ci.Workflow) bool { return w.ID == id })
	if i < 0 {
		return fmt.Errorf("workflow %s: %w", id, ci.ErrNotFound)
	}
	_, _ = change(new(clone(m.workflows[i])))
	w := clone(m.workflows[i])
	events, err := change(&w)
	if err != nil || len(events) == 0 {
		return err
	}
	m.number(&w, events)
	m.workflows[i] = clone(w)
	m.append(events)
	return nil
}

func (m *memStore) JobWorkflow(ctx context.Context, id ci.JobID) (ci.WorkflowID, error) {
	if err := m.enter(ctx, "JobWorkflow"); err != nil {
		return "", err
	}
	defer m.mu.Unlock()
	if w, ok := m.home[id]; ok {
		return w, nil
	}
	return "", fmt.Errorf("job %s: %w", id, ci.ErrNotFound)
}

func (m *memStore) JobByNumber(ctx context.Context, p ci.ProjectID, number int64) (ci.WorkflowID, ci.JobID, error) {
	if err := m.enter(ctx, "JobByNumber"); err != nil {
		return "", "", err
	}
	defer m.mu.Unlock()
	for _, w := range m.workflows {
		for _, j := range slices.Concat(w.Jobs, w.Past) {
			if w.Project == p && j.Number == number {
				return m.home[j.ID], j.ID, nil
			}
		}
	}
	return "", "", fmt.Errorf("job %d: %w", number, ci.ErrNotFound)
}

func (m *memStore) Events(ctx context.Context, after uint64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		if err := m.enter(ctx, "Events"); err != nil {
			yield(ci.Event{}, err)
			return
		}
		tail := m.events[min(after, uint64(len(m.events))):]
		m.mu.Unlock()
		for _, e := range tail {
			if !yield(clone(e), nil) {
				return
			}
		}
	}
}

func (m *memStore) LastEvent(ctx context.Context) (uint64, error) {
	if err := m.enter(ctx, "LastEvent"); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	return uint64(len(m.events)), nil
}

func (m *memStore) Wait(ctx context.Context, after uint64) error {
	m.mu.Lock()
	changed, there := m.changed, uint64(len(m.events)) > after
	m.mu.Unlock()
	if there {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
		return nil
	}
}
