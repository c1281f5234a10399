package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/local"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
	"github.com/stretchr/testify/require"
)

const dockerJob = `
version: 2.1
jobs:
  image:
    docker: [{image: cimg/base:stable}]
    steps:
      - setup_remote_docker: {docker_layer_caching: true}
      - run: |
          test "$DOCKER_TLS_VERIFY" = 1
          case "$DOCKER_HOST" in tcp://m-*:2376) ;; *) exit 2;; esac
          grep -q "key of m-" "$DOCKER_CERT_PATH/key.pem" && grep -q "ca of m-" "$DOCKER_CERT_PATH/ca.pem"
          test "$(stat -c %a "$DOCKER_CERT_PATH")" = 700
          echo "$DOCKER_CERT_PATH" > WHERE
workflows: {main: {jobs: [image]}}
`

// A job gets an engine of its own through the agents' door, with certificates
// that go with it; its machine ends when it does, and the layers of the project
// are there for the next one.
func TestVMS07_RemoteDockerOfAJob(t *testing.T) {
	dir := t.TempDir()
	where := filepath.Join(dir, "where")
	db := memdb.New()
	bucket, err := storage.OpenDir(filepath.Join(dir, "files"))
	require.NoError(t, err)
	logs, err := storage.OpenLogs(filepath.Join(dir, "logs"), storage.LogsConfig{Bucket: bucket})
	require.NoError(t, err)
	cloud := vmservicetest.NewCloud(vmservicetest.CloudConfig{Install: "rondo", Keep: time.Hour})
	pool := vmservice.New(db, cloud, &vmservicetest.Guest{}, vmservice.Config{Boot: vmservice.BootConfig{Fixed: true}, Times: vmservice.Times{Settle: time.Second, Observe: 200 * time.Millisecond}})
	source := strings.ReplaceAll(dockerJob, "WHERE", where)
	var e *engine.Engine
	e = engine.New(engine.Parts{
		DB: db, Backlog: db.Backlog(), Logs: logs, Files: storage.NewFiles(bucket, storage.FilesConfig{}), Key: make(door.Key, 32),
		Compiler: ci.CompilerFunc(func(ctx context.Context, project ci.Project, p ci.Pipeline) (ci.Plan, error) {
			return config.Compile(ctx, []byte(source), config.Options{Values: engine.Values(project, p)})
		}),
		Cluster: local.New(local.Func(func(ctx context.Context, p scheduler.Placement) error {
			return agent.New(e.Door, e.Door, agent.Config{Dir: filepath.Join(dir, "work"), Machines: e.Door}).Run(ctx, p.Task.ID, p.Epoch)
		}), local.Config{Dir: filepath.Join(dir, "agents")}),
	}, engine.Config{Machines: pool})
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "gh/acme/shop", Org: "acme", Repo: "shop", DefaultBranch: "main"}))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- e.Run(ctx) }()
	go func() { ended <- pool.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				require.NoError(t, err)
			}
		}
		require.NoError(t, logs.Close())
	})

	require.Equal(t, ci.Success, build(t, e))
	require.NoError(t, e.Idle(t.Context()))
	path := read(t, where)
	require.Eventually(t, func() bool { _, err := os.Stat(path); return errors.Is(err, os.ErrNotExist) }, 20*time.Second, 10*time.Millisecond, "the certificates are gone with the job")
	require.Eventually(t, func() bool { return cloud.Ledger().Alive == 0 }, 20*time.Second, 10*time.Millisecond, "the machine too")
	require.Eventually(t, func() bool {
		all := pool.Layers()
		return len(all) == 1 && all[0].State == vmservice.LayersFree
	}, time.Minute, 50*time.Millisecond)
	require.Equal(t, ci.Success, build(t, e))
	require.Equal(t, 1, pool.Counts().Hits, "the second build has the layers of the first")
	require.Len(t, cloud.Ledger().Machines, 2, "and a machine of its own")
	held, err := e.Scheduler.Holds(ci.TaskID("nothing"), 1)
	require.NoError(t, err)
	require.False(t, held)
}

func read(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}
