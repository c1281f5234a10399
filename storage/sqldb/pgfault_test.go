package sqldb_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// Sixteen writers of four processes, which are killed at the end: a reader
// that follows meets every number in order and none twice, and what was
// acknowledged is there.
func TestDAT01_P2b_SixteenWritersOfFourProcesses(t *testing.T) {
	dsn := newDatabase(t)
	db := openFile(t, dsn, sqldb.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() { watching <- db.Watch(ctx) }()
	defer func() { cancel(); require.NoError(t, <-watching) }()
	var mu sync.Mutex
	var lines []string
	var readers sync.WaitGroup
	var children []*os.Process
	for range 4 {
		c := child(t, "write", dsn)
		out, err := c.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		children = append(children, c.Process)
		readers.Go(func() {
			defer func() { _ = c.Wait() }()
			r := bufio.NewReader(out)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				mu.Lock()
				lines = append(lines, strings.TrimSpace(line))
				mu.Unlock()
			}
		})
	}
	seen := uint64(0)
	for seen < 2000 {
		for e, err := range db.Events(t.Context(), seen) {
			require.NoError(t, err)
			require.Equal(t, seen+1, e.Seq, "numbers are handed out in order of commit")
			seen = e.Seq
		}
		require.NoError(t, db.Wait(t.Context(), seen))
	}
	for _, p := range children {
		require.NoError(t, p.Kill())
	}
	readers.Wait()
	require.Greater(t, len(lines), 500)
	checkKept(t, db, lines)
}

// checkKept requires that all that was acknowledged is there and that the
// numbers of pipelines and events are dense.
func checkKept(t *testing.T, db *sqldb.DB, lines []string) {
	t.Helper()
	for _, line := range lines {
		word := strings.Fields(line)
		if word[0] != "pipeline" {
			require.NotEqual(t, "error", word[0], line)
			continue
		}
		p, err := db.Pipeline(t.Context(), ci.PipelineID(word[1]))
		require.NoError(t, err)
		require.Equal(t, word[2], fmt.Sprint(p.Number))
	}
	numbers := map[int64]bool{}
	for p, err := range db.Pipelines(t.Context(), ci.Query{Limit: 1 << 30}) {
		require.NoError(t, err)
		require.False(t, numbers[p.Number], "a number was given twice")
		numbers[p.Number] = true
	}
	for n := range int64(len(numbers)) {
		require.True(t, numbers[n+1], "pipeline %d is missing", n+1)
	}
	seen := uint64(0)
	for e, err := range db.Events(t.Context(), 0) {
		require.NoError(t, err)
		require.Equal(t, seen+1, e.Seq)
		seen = e.Seq
	}
}

// Postgres crashes again and again under load: nobody is told of an error,
// nothing is lost and nothing done twice.
func TestP17_PostgresRestarts(t *testing.T) { restarts(t, 1, 500*time.Millisecond) }

func TestFault_P17_PostgresRestarts(t *testing.T) {
	if os.Getenv("RONDO_FAULTS") != "1" {
		t.Skip("a long one: make faults")
	}
	restarts(t, 5, 3*time.Second)
}

func restarts(t *testing.T, times int, every time.Duration) {
	c := cluster(t)
	db := openPostgres(t, sqldb.Config{})
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var lines []string
	var work sync.WaitGroup
	for range 16 {
		work.Go(func() {
			for ctx.Err() == nil {
				p, err := trigger(context.Background(), db, "p")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := db.Pipeline(context.Background(), p.ID); err != nil {
					t.Error(err)
				}
				mu.Lock()
				lines = append(lines, fmt.Sprintf("pipeline %s %d", p.ID, p.Number))
				mu.Unlock()
			}
		})
	}
	for range times {
		time.Sleep(every) // load, not a wait for something
		require.NoError(t, c.Restart())
	}
	mu.Lock()
	before := len(lines)
	mu.Unlock()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(lines) > before+50 || t.Failed()
	}, 30*time.Second, 5*time.Millisecond, "writes go on after the restart")
	cancel()
	work.Wait()
	require.False(t, t.Failed())
	checkKept(t, db, lines)
	count, err := ci.CountDocs(db.Docs(t.Context(), ci.DocQuery{Kind: "none", AllScopes: true}))
	require.NoError(t, err)
	require.Zero(t, count)
	n := 0
	for range db.Pipelines(t.Context(), ci.Query{Limit: 1 << 30}) {
		n++
	}
	require.Len(t, lines, n, "each was done once")
}

// Whatever happens to a COMMIT on its way, the caller gets the true answer and
// the change is done once.
func TestP17b_NetworkFailsAtCommit(t *testing.T) {
	reset := func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	release := make(chan struct{})
	for name, fault := range map[string]func(client, server net.Conn, chunk []byte){
		"reset before it": func(client, server net.Conn, _ []byte) { reset(client); reset(server) },
		"reset in the middle": func(client, server net.Conn, b []byte) {
			_, _ = server.Write(b[:len(b)/2])
			reset(client)
			reset(server)
		},
		"reply is lost": func(client, server net.Conn, b []byte) {
			reset(client)
			_, _ = server.Write(b)
		},
		// The server sees nothing wrong: the connection is ended by its number.
		"client is cut off, server is not": func(client, server net.Conn, _ []byte) { reset(client); <-release },
		"arrives after we have given up": func(client, server net.Conn, b []byte) {
			reset(client)
			<-release
			_, _ = server.Write(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			release = make(chan struct{})
			w, dsn := newWire(t, newDatabase(t))
			db := openFile(t, dsn, sqldb.Config{})
			require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
			w.atCommit(fault)
			p, err := trigger(t.Context(), db, "p")
			require.NoError(t, err)
			require.Equal(t, int64(1), p.Number)
			close(release)
			w.cut()
			p, err = trigger(t.Context(), db, "p")
			require.NoError(t, err)
			require.Equal(t, int64(2), p.Number)
			checkKept(t, db, nil)
		})
	}
}

// A network that swallows everything is given up after a while.
func TestFault_P17b_Stall(t *testing.T) {
	if os.Getenv("RONDO_FAULTS") != "1" {
		t.Skip("a long one: make faults")
	}
	w, dsn := newWire(t, newDatabase(t))
	db := openFile(t, dsn, sqldb.Config{})
	require.NoError(t, db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "s"}))
	stalled, release := make(chan struct{}), make(chan struct{})
	w.atCommit(func(_, server net.Conn, b []byte) {
		close(stalled)
		<-release
		_, _ = server.Write(b)
	})
	time.AfterFunc(30*time.Second, func() { close(release) })
	for n := range int64(20) {
		p, err := trigger(t.Context(), db, "p")
		require.NoError(t, err)
		require.Equal(t, n+1, p.Number)
	}
	<-stalled
	<-release
	checkKept(t, db, nil)
}

// A process that is paused in the middle of a transaction holds up the others
// for a moment only, and its transaction is not half there when it goes on.
func TestP6_PausedWriterHoldsUpNobody(t *testing.T) {
	dsn := newDatabase(t)
	db := openFile(t, dsn, sqldb.Config{})
	c := child(t, "write", dsn+"&idle_in_transaction_session_timeout=300ms")
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	r := bufio.NewReader(out)
	for range 5 {
		for range 20 {
			_, err := r.ReadString('\n')
			require.NoError(t, err)
		}
		require.NoError(t, c.Process.Signal(syscall.SIGSTOP))
		_, err := trigger(t.Context(), db, "p")
		require.NoError(t, err)
		require.NoError(t, c.Process.Signal(syscall.SIGCONT))
	}
	for range 100 {
		_, err := r.ReadString('\n')
		require.NoError(t, err, "it goes on")
	}
	require.NoError(t, c.Process.Kill())
	_ = c.Wait()
	checkKept(t, db, nil)
}
