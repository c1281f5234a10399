package memdb_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/citest"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/storage/memdb"
)

var _ scheduler.Backlog = (*memdb.Backlog)(nil)

func TestStore(t *testing.T) {
	citest.TestStore(t, func(*testing.T) ci.Store { return memdb.New() })
}

func TestDocs(t *testing.T) {
	citest.TestDocs(t, func(*testing.T) ci.Docs { return memdb.New() })
}

func TestRecords(t *testing.T) {
	citest.TestRecords(t, func(*testing.T) (ci.Store, ci.Records, citest.Backlog) {
		db := memdb.New()
		return db, db, db.Backlog()
	})
}

func TestBacklog(t *testing.T) {
	citest.TestBacklog(t, func(*testing.T) citest.Backlog { return memdb.New().Backlog() })
}

// Package ci needs a store and a compiler, and nothing else, to conduct.
func Example() {
	ctx := context.Background()
	db := memdb.New()
	shop := ci.Project{ID: "p1", Slug: "gh/acme/shop", Org: "acme", Repo: "shop"}
	if err := db.PutProject(ctx, shop); err != nil {
		fmt.Println(err)
		return
	}
	server := ci.New(db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		return ci.Plan{}, nil
	}), ci.Config{})
	p, err := server.Trigger(ctx, ci.Trigger{Project: "p1", Branch: "main", Revision: "abc"})
	fmt.Println(p.Number, p.State, err)
	// Output: 1 pending <nil>
}

func ExampleDB_Backlog() {
	ctx := context.Background()
	b := memdb.New().Backlog()
	task := ci.Task{Job: "j1"}.Slice(0)
	if err := b.Put(ctx, 41, ci.Ticket{Task: task, State: ci.TicketWaiting}); err != nil {
		fmt.Println(err)
		return
	}
	for t, err := range b.Open(ctx) {
		fmt.Println(t.Task.ID, t.State, err)
	}
	// Output: j1.0 waiting <nil>
}
