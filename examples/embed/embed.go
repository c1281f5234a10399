// Embed is the whole of Rondo in a Go program: it runs a configuration's
// workflow with agents in this process, and everything in memory. Put
// storage/sqldb in place of storage/memdb, and local.Exec in place of
// local.Func, and it is a server.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
	"gocloud.dev/blob/memblob"
)

func main() {
	status, err := build(context.Background(), []byte(`
version: 2.1
jobs:
  hello:
    docker: [{image: cimg/base:stable}]
    steps: [{run: echo "built $CIRCLE_SHA1"}]
workflows: {main: {jobs: [hello]}}
`))
	fmt.Println(status, err)
	if err != nil {
		os.Exit(1)
	}
}

// build runs the workflow of a configuration and returns how it ended.
func build(ctx context.Context, source []byte) (ci.Status, error) {
	ctx, stop := context.WithCancel(ctx)
	db, logs, files := memdb.New(), storage.NewMemLogs(), storage.NewFiles(memblob.OpenBucket(nil), storage.FilesConfig{})
	server := ci.New(db, ci.CompilerFunc(func(ctx context.Context, _ ci.Project, _ ci.Pipeline) (ci.Plan, error) {
		return config.Compile(ctx, source, config.Options{})
	}), ci.Config{})
	var d *door.Door
	cluster := local.New(local.Func(func(ctx context.Context, p scheduler.Placement) error {
		return agent.New(d, d, agent.Config{}).Run(ctx, p.Task.ID, p.Epoch)
	}), local.Config{})
	queue := scheduler.New(db.Backlog(), cluster, server.Report, scheduler.Config{})
	d = door.New(queue, server, db, logs, files, door.Config{})
	var parts sync.WaitGroup
	defer func() { stop(); parts.Wait() }() // they clean up behind themselves
	parts.Go(func() { server.Run(ctx) })
	parts.Go(func() { cluster.Run(ctx) })
	parts.Go(func() { queue.Run(ctx, server.Follow) })

	if err := db.PutProject(ctx, ci.Project{ID: "shop", Slug: "gh/acme/shop", Org: "acme", Repo: "shop"}); err != nil {
		return "", err
	}
	if _, err := server.Trigger(ctx, ci.Trigger{Project: "shop", Branch: "main", Revision: "4f1c2d"}); err != nil {
		return "", err
	}
	for e, err := range server.Follow(ctx, 0) {
		if err != nil || e.Kind == ci.WorkflowEnded {
			return e.Status, err
		}
	}
	return "", ctx.Err()
}
