package sqldb_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// A database outlives the process that wrote it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "rondo")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for _, slug := range []string{"gh/acme/shop", "gh/acme/store"} {
		db, err := sqldb.Open(ctx, filepath.Join(dir, "rondo.db"), sqldb.Config{})
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := db.PutProject(ctx, ci.Project{ID: ci.ProjectID(slug), Slug: slug}); err != nil {
			fmt.Println(err)
		}
		for p, err := range db.Projects(ctx) {
			fmt.Println(p.Slug, err)
		}
		if err := db.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// gh/acme/shop <nil>
	// gh/acme/shop <nil>
	// gh/acme/store <nil>
}

func ExampleDB_Backlog() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "rondo")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db, err := sqldb.Open(ctx, filepath.Join(dir, "rondo.db"), sqldb.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	task := ci.Task{Job: "j1"}.Slice(0)
	if err := db.Backlog().Put(ctx, 41, ci.Ticket{Task: task, State: ci.TicketWaiting}); err != nil {
		fmt.Println(err)
	}
	cursor, err := db.Backlog().Cursor(ctx)
	fmt.Println(cursor, err)
	// Output: 41 <nil>
}
