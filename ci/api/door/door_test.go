package door_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
)

// agentsDoor is what agents ask for.
type agentsDoor interface {
	Claim(ctx context.Context, task ci.TaskID, epoch int64, worker string) (ci.Work, error)
	Renew(ctx context.Context, l ci.Lease) (ci.Lease, error)
	PutStep(ctx context.Context, l ci.Lease, s ci.Step) error
	Append(ctx context.Context, l ci.Lease, step int, offset int64, data []byte) (int64, error)
	PutTests(ctx context.Context, l ci.Lease, tests []ci.Test) error
	Timings(ctx context.Context, l ci.Lease) ([]ci.Test, error)
	Finish(ctx context.Context, l ci.Lease, r ci.Report) error
}

type agentsFiles interface {
	PutFile(ctx context.Context, l ci.Lease, f ci.File, r io.Reader) (ci.File, error)
	FindFiles(ctx context.Context, l ci.Lease, like ci.File) ([]ci.File, error)
	OpenFile(ctx context.Context, l ci.Lease, f ci.File) (io.ReadCloser, error)
}

type both interface {
	agentsDoor
	agentsFiles
}

// A way is one of the ways to a door. It makes the door of a lease's holder.
type way func(t *testing.T, w *world, cfg door.Config) func(task ci.TaskID, epoch int64) both

var key = door.Key("0123456789abcdef0123456789abcdef")

func newDoor(w *world, cfg door.Config) *door.Door { return door.New(leases{w}, w, w, w, w, cfg) }

func inProcess(_ *testing.T, w *world, cfg door.Config) func(ci.TaskID, int64) both {
	d := newDoor(w, cfg)
	return func(ci.TaskID, int64) both { return d }
}

func overTCP(t *testing.T, w *world, cfg door.Config) func(ci.TaskID, int64) both {
	s := httptest.NewServer(door.Handler(newDoor(w, cfg), key))
	t.Cleanup(s.Close)
	return dial(t, s.URL)
}

func overSocket(t *testing.T, w *world, cfg door.Config) func(ci.TaskID, int64) both {
	path := filepath.Join(t.TempDir(), "door")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	s := &http.Server{Handler: door.Handler(newDoor(w, cfg), key)}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return dial(t, "unix:"+path)
}

func dial(t *testing.T, addr string) func(ci.TaskID, int64) both {
	base, hc, err := door.Dial(addr)
	require.NoError(t, err)
	t.Cleanup(hc.CloseIdleConnections)
	return func(task ci.TaskID, epoch int64) both {
		return door.NewClient(base, key.Token(task, epoch), hc)
	}
}

// everyWay runs a test in process, over TCP and over a unix socket.
func everyWay(t *testing.T, test func(t *testing.T, w *world, open func(ci.TaskID, int64) both)) {
	for name, way := range map[string]way{"in process": inProcess, "tcp": overTCP, "unix": overSocket} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			test(t, w, way(t, w, door.Config{MaxFile: 1 << 20}))
		})
	}
}

func TestClaim(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		w.hand("test.0", 3, "")
		d := open("test.0", 3)
		for range 2 { // a reply can be lost
			work, err := d.Claim(ctx, "test.0", 3, "node 1/ä")
			require.NoError(t, err)
			require.Equal(t, "node 1/ä", work.Lease.Worker)
			require.Equal(t, int64(3), work.Lease.Epoch)
			require.Equal(t, ci.ProjectID("p1"), work.Project.ID)
			require.Equal(t, "main", work.Pipeline.Trigger.Branch)
		}
		require.ElementsMatch(t, []string{"claim test.0", "work test.0"}, w.history[:2], "both at once")

		_, err := d.Claim(ctx, "test.0", 3, "node 2")
		require.ErrorIs(t, err, ci.ErrConflict, "another worker")
		w.hand("test.0", 4, "")
		_, err = d.Claim(ctx, "test.0", 3, "node 1/ä")
		require.ErrorIs(t, err, ci.ErrConflict, "an older hand-out")
		require.True(t, door.Final(err))
	})
}

func TestClaimFaults(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		w.hand("test.0", 1, "")
		d := open("test.0", 1)
		for _, op := range []string{"claim", "work"} {
			w.fault[op] = errors.New("disk is full at /secret/place")
			_, err := d.Claim(t.Context(), "test.0", 1, "n")
			require.Error(t, err)
			require.False(t, door.Final(err), "%s: %v", op, err)
		}
		_, err := d.Claim(t.Context(), "test.0", 1, "n")
		require.NoError(t, err)

		w.fault["work"] = ci.ErrNotFound
		_, err = d.Claim(t.Context(), "test.0", 1, "n")
		require.ErrorIs(t, err, ci.ErrNotFound)
		require.Equal(t, ci.InfraFailed, w.outcome["test.0"].Status, "no agent can run it")
	})
}

func TestP4_StaleLease(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		l := w.hand("test.0", 1, "a")
		w.hand("test.0", 2, "b")
		d := open("test.0", 1)
		_, err := d.Renew(ctx, l)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.ErrorIs(t, d.PutStep(ctx, l, ci.Step{Status: ci.Running}), ci.ErrConflict)
		require.ErrorIs(t, d.PutTests(ctx, l, nil), ci.ErrConflict)
		_, err = d.Timings(ctx, l)
		require.ErrorIs(t, err, ci.ErrConflict)
		next, err := d.Append(ctx, l, 0, 7, []byte("late"))
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Equal(t, int64(7), next)
		f, err := d.PutFile(ctx, l, ci.File{Kind: ci.FileCache, Name: "k"}, strings.NewReader("x"))
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Zero(t, f)
		require.ErrorIs(t, d.Finish(ctx, l, ci.Report{Status: ci.Success}), ci.ErrConflict)
		_, err = d.FindFiles(ctx, l, ci.File{Kind: ci.FileCache})
		require.ErrorIs(t, err, ci.ErrConflict)
		_, err = d.OpenFile(ctx, l, ci.File{Kind: ci.FileCache, Name: "k"})
		require.ErrorIs(t, err, ci.ErrConflict)

		require.Empty(t, w.history, "nothing was touched")
		require.Empty(t, w.ended, "the log of the other worker goes on")
		require.Empty(t, w.meta)
	})
}

func TestP7_Append(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		steps := []struct {
			offset int64
			data   string
			next   int64
			err    error
		}{
			{0, "hello ", 6, nil},
			{0, "hello ", 6, nil},
			{3, "lo world", 11, nil},
			{12, "too far", 11, ci.ErrConflict},
			{11, "", 11, nil},
			{-1, "x", -1, ci.ErrInvalid},
			{11, "\x00\xff\n", 14, nil},
		}
		for _, s := range steps {
			next, err := d.Append(ctx, l, 2, s.offset, []byte(s.data))
			require.ErrorIs(t, err, s.err)
			require.Equal(t, s.next, next, "%+v", s)
		}
		require.Equal(t, "hello world\x00\xff\n", string(w.output[ci.LogKey{Task: "test.0", Epoch: 1, Step: 2}]))

		big := bytes.Repeat([]byte("x"), door.MaxChunk)
		next, err := d.Append(ctx, l, 3, 0, big)
		require.NoError(t, err)
		require.Equal(t, int64(len(big)), next)
		_, err = d.Append(ctx, l, 3, next, append(big, 'y'))
		require.ErrorIs(t, err, ci.ErrInvalid)

		w.fault["append"] = errors.New("disk full")
		_, err = d.Append(ctx, l, 2, 14, []byte("x"))
		require.Error(t, err)
		require.False(t, door.Final(err))
	})
}

func TestStepsTestsTimings(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		s := ci.Step{Index: 1, Kind: ci.StepRun, Name: "go", Command: "echo <&>", Status: ci.Running}
		require.NoError(t, d.PutStep(ctx, l, s))
		require.Equal(t, s, w.steps[ci.LogKey{Task: "test.0", Epoch: 1, Step: 1}])
		require.ErrorIs(t, d.PutStep(ctx, l, ci.Step{Index: -1}), ci.ErrInvalid)

		tests := []ci.Test{{Name: "a", Result: "success", Seconds: 1.5}}
		require.NoError(t, d.PutTests(ctx, l, tests))
		require.Equal(t, tests, w.tests["test.0"])
		require.NoError(t, d.PutTests(ctx, l, nil))
		require.Empty(t, w.tests["test.0"])

		got, err := d.Timings(ctx, l)
		require.NoError(t, err)
		require.Empty(t, got)
		w.timings["p1/test/main"] = tests
		got, err = d.Timings(ctx, l)
		require.NoError(t, err)
		require.Equal(t, tests, got)

		n, err := d.Renew(ctx, l)
		require.NoError(t, err)
		require.Equal(t, l, n)
	})
}

func TestFinish(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		w.hand("test.0", 1, "")
		d := open("test.0", 1)
		work, err := d.Claim(ctx, "test.0", 1, "a")
		require.NoError(t, err)
		l := work.Lease
		require.ErrorIs(t, d.Finish(ctx, l, ci.Report{Status: ci.Running}), ci.ErrInvalid)
		require.ErrorIs(t, d.Finish(ctx, l, ci.Report{Status: ci.NotRun}), ci.ErrInvalid)

		w.history = nil
		r := ci.Report{Workflow: "evil", Task: "other.0", Epoch: 9, Status: ci.Failed, Reason: "exit 1", Node: "x"}
		for _, op := range []string{"steps", "finish", "end"} { // a crash anywhere is made good by the next call
			w.fault[op] = errors.New("boom")
			require.False(t, door.Final(d.Finish(ctx, l, r)))
			if op != "end" {
				require.Empty(t, w.outcome)
			}
		}
		require.NoError(t, d.Finish(ctx, l, r))
		require.Equal(t, ci.Report{Task: "test.0", Epoch: 1, Status: ci.Failed, Reason: "exit 1", Node: "a"}, w.outcome["test.0"])
		require.Equal(t, int64(1), w.ended["test.0"], "the log is closed when the outcome is acknowledged")
	})
}

func TestFinishTwice(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		require.NoError(t, d.Finish(t.Context(), l, ci.Report{Status: ci.Success}))
		clear(w.ended) // the server was started again
		require.NoError(t, d.Finish(t.Context(), l, ci.Report{Status: ci.Success}))
		require.Equal(t, int64(1), w.ended["test.0"])
		require.ErrorIs(t, d.Finish(t.Context(), l, ci.Report{Status: ci.Failed}), ci.ErrConflict)
	})
}

func TestP7_MissingOutputIsMarked(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		key := func(step int) ci.LogKey { return ci.LogKey{Task: "test.0", Epoch: 1, Step: step} }
		texts := []string{"whole", "half", "agent lost some", "", "agent lost some, server more"}
		for i, text := range texts {
			_, err := d.Append(ctx, l, i, 0, []byte(text))
			require.NoError(t, err)
		}
		for i, s := range []ci.Step{
			{Bytes: 5}, {Bytes: 100}, {Bytes: 15, Lost: 40}, {Bytes: 7}, {Bytes: 30, Lost: 10}, {Bytes: 0},
		} {
			s.Index, s.Status, s.SHA256 = i, ci.Success, "of it all"
			require.NoError(t, d.PutStep(ctx, l, s))
		}
		require.NoError(t, d.PutStep(ctx, l, ci.Step{Index: 6, Status: ci.Running}))

		for _, op := range []string{"append", "end", "finish"} { // crashes
			w.fault[op] = errors.New("boom")
			require.Error(t, d.Finish(ctx, l, ci.Report{Status: ci.Success}))
		}
		clear(w.ended) // a log that has ended would take no second mark
		require.NoError(t, d.Finish(ctx, l, ci.Report{Status: ci.Success}))
		for i, mark := range []string{"", "\n[96 bytes missing]\n", "", "\n[7 bytes missing]\n", "\n[12 bytes missing]\n"} {
			require.Equal(t, texts[i]+mark, string(w.output[key(i)]))
		}
		got := w.steps[key(1)]
		require.Equal(t, []any{int64(96), int64(4), ""}, []any{got.Lost, got.Bytes, got.SHA256})
		require.Equal(t, "of it all", w.steps[key(2)].SHA256)
	})
}
