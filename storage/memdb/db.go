// Package memdb keeps the records of Rondo in memory. It is the reference for
// what a [ci.Store] and a [ci.Records] do, the fake for everybody's tests, and
// the store of runs that leave nothing behind. Package storage/sqldb does the
// same on a disk; both pass the suites of package citest.
//
// A [DB] gives and takes copies: what a caller does to a value before or after
// a call never reaches the database. As in a real one, times come back in UTC,
// text as UTF-8, empty lists as nil, and numbers among a trigger's parameters
// as float64 (an integer that float64 cannot hold exactly, as int64).
//
// The package imports the standard library and ci only, starts no goroutine
// and forgets everything with the process.
package memdb

import (
	"context"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

var (
	_ ci.Store   = (*DB)(nil)
	_ ci.Records = (*DB)(nil)
	_ ci.Docs    = (*DB)(nil)
)

// A DB is a database of records in memory. All methods are safe for
// concurrent use. Writers take turns; a change function may read from the
// database but must not write to it.
type DB struct {
	turn chan struct{} // holds one element while someone writes

	mu        sync.RWMutex // guards the rest; writers hold the turn too
	projects  map[ci.ProjectID]ci.Project
	slugs     map[string]ci.ProjectID
	pipelines []*pipeline // in order of making
	byID      map[ci.PipelineID]*pipeline
	keys      map[triggerKey]*pipeline
	workflows []*workflow // in order of making
	byWID     map[ci.WorkflowID]*workflow
	jobs      map[ci.JobID]*workflow // that the job was made in
	numbers   map[jobNumber]ci.JobID
	counts    map[ci.ProjectID]counts
	events    []ci.Event
	changed   chan struct{} // closed and replaced when events are added
	steps     map[handOut]map[int]ci.Step
	tests     map[ci.JobID]map[int]testSet // by index of the task
	stored    int                          // test sets so far
	tickets   map[ci.TaskID]ci.Ticket
	docs      map[string]docs // by kind
	cursor    uint64
}

type triggerKey struct {
	project ci.ProjectID
	key     string
}

type jobNumber struct {
	project ci.ProjectID
	number  int64
}

// counts are the last numbers given in a project.
type counts struct{ pipelines, jobs int64 }

type handOut struct {
	task  ci.TaskID
	epoch int64
}

// New returns an empty database.
func New() *DB {
	return &DB{
		turn:     make(chan struct{}, 1),
		projects: map[ci.ProjectID]ci.Project{}, slugs: map[string]ci.ProjectID{},
		byID: map[ci.PipelineID]*pipeline{}, keys: map[triggerKey]*pipeline{},
		byWID: map[ci.WorkflowID]*workflow{}, jobs: map[ci.JobID]*workflow{},
		numbers: map[jobNumber]ci.JobID{}, counts: map[ci.ProjectID]counts{},
		changed: make(chan struct{}),
		steps:   map[handOut]map[int]ci.Step{}, tests: map[ci.JobID]map[int]testSet{},
		tickets: map[ci.TaskID]ci.Ticket{}, docs: map[string]docs{},
	}
}

// update waits for the turn and runs fn, which must not change the database
// but return a function that does. So fn may fail, panic or read at any point.
func (db *DB) update(ctx context.Context, fn func() (apply func(), err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case db.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-db.turn }()
	apply, err := fn()
	if err != nil || apply == nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	apply()
	return nil
}

// read runs fn while no one writes.
func (db *DB) read(ctx context.Context, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	db.mu.RLock()
	defer db.mu.RUnlock()
	return fn()
}
