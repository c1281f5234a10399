package sqldb_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// The fault tests start the test binary again as a child, which runs one of
// these instead of the tests.
const childVariable = "SQLDB_TEST_CHILD"

func TestMain(m *testing.M) {
	children := map[string]func() error{"write": childWrites, "full": childFillsDisk, "sync": childSyncs}
	if run := children[os.Getenv(childVariable)]; run != nil {
		if err := run(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	defer stopPostgres()
	m.Run()
}

func child(t *testing.T, name, file string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), self, file)
	c.Env = append(os.Environ(), childVariable+"="+name)
	return c
}

// childWrites writes with four writers and prints a line for each write that
// was acknowledged, until it is killed.
func childWrites() error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, os.Args[1], sqldb.Config{})
	if err != nil {
		return err
	}
	if err := db.PutProject(ctx, ci.Project{ID: "p", Slug: "s"}); err != nil {
		return err
	}
	errs := make(chan error)
	for range 4 {
		go func() {
			for {
				if err := writeOne(ctx, db); err != nil {
					errs <- err
				}
			}
		}()
	}
	return <-errs
}

func writeOne(ctx context.Context, db *sqldb.DB) error {
	p, err := trigger(ctx, db, "p")
	if err != nil {
		return err
	}
	fmt.Printf("pipeline %s %d\n", p.ID, p.Number)
	w, err := plan(ctx, db, p.ID)
	if err != nil {
		return err
	}
	fmt.Printf("workflow %s\n", w.ID)
	task := ci.Task{Job: w.Jobs[0].ID}.Slice(0)
	if err := db.Backlog().Put(ctx, 0, ci.Ticket{Task: task, State: ci.TicketLeased, Epoch: 1, Worker: "w"}); err != nil {
		return err
	}
	err = db.PutStep(ctx, ci.Lease{Task: task.ID, Epoch: 1, Worker: "w"}, ci.Step{Status: ci.Running, Started: time.Now()})
	if err != nil {
		return err
	}
	fmt.Printf("step %s\n", task.ID)
	return nil
}

// A process that is killed in the middle of writing leaves a database that
// opens by itself and holds all that was acknowledged.
func TestP14_KilledWhileWriting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rondo.db")
	acknowledged := 0
	var lines []string
	for range 6 {
		c := child(t, "write", file)
		out, err := c.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		scan := bufio.NewReader(out)
		for left := 1 + rand.N(300); ; left-- { // it goes on writing while it dies
			if left == 0 {
				require.NoError(t, c.Process.Kill())
			}
			line, err := scan.ReadString('\n')
			if err != nil { // the rest of a line is no acknowledgement
				require.ErrorIs(t, err, io.EOF)
				break
			}
			require.False(t, strings.HasPrefix(line, "error"), line)
			lines = append(lines, strings.TrimSpace(line))
		}
		require.Error(t, c.Wait())
		checkAcknowledged(t, file, lines)
		require.Greater(t, len(lines), acknowledged, "nothing was written in this round")
		acknowledged = len(lines)
	}
}

func checkAcknowledged(t *testing.T, file string, lines []string) {
	t.Helper()
	db := openFile(t, file, sqldb.Config{})
	for _, line := range lines {
		word := strings.Fields(line)
		switch word[0] {
		case "pipeline":
			p, err := db.Pipeline(t.Context(), ci.PipelineID(word[1]))
			require.NoError(t, err)
			require.Equal(t, word[2], fmt.Sprint(p.Number))
		case "workflow":
			w, err := db.Workflow(t.Context(), ci.WorkflowID(word[1]))
			require.NoError(t, err)
			require.NotZero(t, w.Jobs[0].Number)
		case "step":
			steps, err := db.Steps(t.Context(), ci.TaskID(word[1]), 1)
			require.NoError(t, err)
			require.Len(t, steps, 1)
		}
	}
	checkWhole(t, file, db)
	require.NoError(t, db.Close())
}

// checkWhole requires that the file is sound and that numbers are dense.
func checkWhole(t *testing.T, file string, db *sqldb.DB) {
	t.Helper()
	pool, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	defer pool.Close()
	var verdict string
	require.NoError(t, pool.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
	var broken int
	require.NoError(t, pool.QueryRowContext(t.Context(), "SELECT count(*) FROM pragma_foreign_key_check").Scan(&broken))
	require.Zero(t, broken)
	seq := uint64(0)
	for e, err := range db.Events(t.Context(), 0) {
		require.NoError(t, err)
		require.Equal(t, seq+1, e.Seq)
		seq = e.Seq
	}
	last, err := db.LastEvent(t.Context())
	require.NoError(t, err)
	require.Equal(t, seq, last)
	var pipelines, highest int64
	require.NoError(t, pool.QueryRowContext(t.Context(),
		"SELECT count(*), coalesce(max(number), 0) FROM pipelines").Scan(&pipelines, &highest))
	require.Equal(t, pipelines, highest)
}

// childFillsDisk runs in a mount namespace of its own, on a disk of 6 MB.
func childFillsDisk() error {
	ctx, dir := context.Background(), os.Args[1]
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return err
	}
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size=6m"); err != nil {
		return err
	}
	ballast := func(round int) string { return filepath.Join(dir, fmt.Sprint("ballast", round)) }
	for round := range 3 {
		if err := os.WriteFile(ballast(round), make([]byte, 500<<10), 0o600); err != nil {
			return err
		}
	}
	db, err := sqldb.Open(ctx, filepath.Join(dir, "rondo.db"), sqldb.Config{})
	if err != nil {
		return err
	}
	if err := db.PutProject(ctx, ci.Project{ID: "p", Slug: "s"}); err != nil {
		return err
	}
	var kept []ci.PipelineID
	for round := range 3 {
		var full error
		for full == nil && len(kept) < 100_000 {
			var p ci.Pipeline
			if p, full = trigger(ctx, db, "p"); full == nil {
				kept = append(kept, p.ID)
			}
		}
		for _, id := range kept { // reading works on a full disk
			if _, err := db.Pipeline(ctx, id); err != nil {
				return fmt.Errorf("acknowledged and lost: %w", err)
			}
		}
		if err := os.Remove(ballast(round)); err != nil {
			return err
		}
		p, err := trigger(ctx, db, "p")
		if err != nil {
			return fmt.Errorf("round %d, there is room again: %w", round, err)
		}
		kept = append(kept, p.ID)
		fmt.Println("full", full)
		fmt.Println("number", p.Number, len(kept))
	}
	return db.Close()
}

// A full disk gives an error that says so; what was acknowledged is there; and
// when there is room again writes work without a restart.
func TestP16_FullDisk(t *testing.T) {
	c := child(t, "full", t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := c.Output()
	if err != nil && len(out) == 0 || bytes.Contains(out, []byte("operation not permitted")) {
		t.Skipf("no mount namespace here: %v %s", err, out)
	}
	require.NoError(t, err, "%s", out)
	require.Equal(t, 3, bytes.Count(out, []byte("full create pipeline")), "%s", out)
	require.Equal(t, 3, bytes.Count(out, []byte(": commit: disk is full: ")), "%s", out)
	for line := range strings.Lines(string(out)) {
		if w := strings.Fields(line); w[0] == "number" {
			require.Equal(t, w[1], w[2], "numbers are dense")
		}
	}
}

// childSyncs writes until a sync fails, then checks that no later write is
// acknowledged.
func childSyncs() error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, os.Args[1], sqldb.Config{})
	if err != nil {
		fmt.Println("refused", err)
		return nil
	}
	failed := db.PutProject(ctx, ci.Project{ID: "p", Slug: "s"})
	// strace counts the syncs of each thread apart, and Go uses several.
	for i := 0; i < 1000 && failed == nil; i++ {
		var p ci.Pipeline
		if p, failed = trigger(ctx, db, "p"); failed == nil {
			fmt.Println("pipeline", p.ID, p.Number)
		}
	}
	if failed == nil {
		return errors.New("no sync failed")
	}
	fmt.Println("failed", failed)
	for range 3 {
		if _, err := trigger(ctx, db, "p"); err == nil {
			return errors.New("acknowledged after a sync had failed")
		}
	}
	watch, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := db.Watch(watch); err == nil {
		return errors.New("the watcher was not told")
	}
	_ = db.Close()
	return nil
}

// When the k-th sync fails, the write that needed it is not acknowledged and
// no later one is; the next start finds all that was.
func TestP16b_SyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil || testing.Short() {
		t.Skip("needs strace and a second")
	}
	for k := 1; k <= 13; k += 3 {
		file := filepath.Join(t.TempDir(), "rondo.db")
		c := child(t, "sync", file)
		inject := fmt.Sprintf("inject=fsync,fdatasync:error=EIO:when=%d", k)
		c.Args = append([]string{strace, "-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject, c.Path}, file)
		c.Path = strace
		out, err := c.Output()
		if err != nil && !bytes.Contains(out, []byte("error")) {
			t.Skipf("strace does not work here: %v %s", err, out)
		}
		require.NoError(t, err, "sync %d: %s", k, out)
		var lines []string
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "pipeline") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if !bytes.HasPrefix(out, []byte("refused")) {
			require.Contains(t, string(out), "failed")
		}
		checkAcknowledged(t, file, lines)
	}
}
