package door_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
)

func TestP9_PutFile(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		l := w.hand("test.0", 2, "a")
		d := open("test.0", 2)
		data := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
		for _, f := range []ci.File{
			{Kind: ci.FileCache, Name: "v1-deps-{x}/ü &?#%"},
			{Kind: ci.FileWorkspace, Name: "0"},
			{Kind: ci.FileArtifact, Name: "out/a b+c.html"},
			{Kind: ci.FileArtifact, Name: "empty"},
		} {
			content := data
			if f.Name == "empty" {
				content = nil
			}
			stored, err := d.PutFile(ctx, l, f, bytes.NewReader(content))
			require.NoError(t, err)
			require.Equal(t, f.Name, stored.Name)
			require.Equal(t, int64(len(content)), stored.Size)
			if f.Kind == ci.FileCache {
				require.Empty(t, stored.Task)
			} else {
				require.Equal(t, ci.TaskID("test.0"), stored.Task)
				require.Equal(t, int64(2), stored.Epoch)
			}
			found, err := d.FindFiles(ctx, l, ci.File{Kind: f.Kind, Task: stored.Task, Epoch: stored.Epoch, Name: f.Name})
			require.NoError(t, err)
			require.Equal(t, []ci.File{stored}, found)
			for _, f := range []ci.File{stored, {Kind: f.Kind, Task: stored.Task, Epoch: stored.Epoch, Name: f.Name}} {
				r, err := d.OpenFile(ctx, l, f)
				require.NoError(t, err)
				got, err := io.ReadAll(r)
				require.NoError(t, err)
				require.True(t, bytes.Equal(content, got))
				require.NoError(t, r.Close())
			}
		}
	})
}

func TestPutFileAgain(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		cache := ci.File{Kind: ci.FileCache, Name: "k"}
		first, err := d.PutFile(ctx, l, cache, strings.NewReader("one"))
		require.NoError(t, err)
		big := &endless{left: 1 << 40}
		again, err := d.PutFile(ctx, l, cache, big)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Equal(t, first, again)
		require.Less(t, int64(1<<40)-big.left, int64(16<<20), "not sent for nothing")

		layer := ci.File{Kind: ci.FileWorkspace, Name: "0"}
		first, err = d.PutFile(ctx, l, layer, strings.NewReader("one"))
		require.NoError(t, err)
		again, err = d.PutFile(ctx, l, layer, strings.NewReader("one"))
		require.NoError(t, err, "the reply was lost")
		require.Equal(t, first, again)
		again, err = d.PutFile(ctx, l, layer, strings.NewReader("two"))
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Equal(t, first, again)
	})
}

// endless yields zeros for a long time.
type endless struct {
	left int64
	end  error
	stop func()
}

func (e *endless) Read(p []byte) (int, error) {
	n := min(int64(len(p)), e.left)
	e.left -= n
	if n > 0 {
		return int(n), nil
	}
	if e.stop != nil {
		e.stop()
	}
	if e.end != nil {
		return 0, e.end
	}
	return 0, io.EOF
}

func TestP9_NothingStored(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		f := ci.File{Kind: ci.FileArtifact, Name: "f"}

		_, err := d.PutFile(ctx, l, f, &endless{left: 2 << 20})
		require.ErrorIs(t, err, ci.ErrInvalid, "too large")

		broken := errors.New("tar: disk error")
		_, err = d.PutFile(ctx, l, f, &endless{left: 70_000, end: broken})
		require.ErrorIs(t, err, broken, "the reader failed")

		w.fault["putfile"] = errors.New("bucket is away")
		_, err = d.PutFile(ctx, l, f, strings.NewReader("x"))
		require.Error(t, err)
		require.False(t, door.Final(err))

		for _, f := range []ci.File{
			{Kind: ci.FileArtifact, Name: ""}, {Kind: ci.FileArtifact, Name: "../up"}, {Kind: ci.FileArtifact, Name: "/abs"},
			{Kind: ci.FileArtifact, Name: "a//b"}, {Kind: ci.FileArtifact, Name: "."}, {Kind: ci.FileArtifact, Name: "a\x00b"},
			{Kind: ci.FileWorkspace, Name: "01"}, {Kind: ci.FileWorkspace, Name: "-1"}, {Kind: ci.FileWorkspace, Name: "x"},
			{Kind: ci.FileCache, Name: strings.Repeat("k", 65<<10)}, {Kind: "odd", Name: "x"}, {Name: "x"},
		} {
			_, err := d.PutFile(ctx, l, f, strings.NewReader("x"))
			require.ErrorIs(t, err, ci.ErrInvalid, "%+v", f)
		}
		require.Empty(t, w.meta)

		// The lease is lost while the file is on its way.
		stored, err := d.PutFile(ctx, l, f, &endless{left: 100, stop: func() { w.hand("test.0", 2, "b") }})
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Zero(t, stored)
		require.Empty(t, w.meta)
	})
}

func TestFilesOfOthers(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		ctx := t.Context()
		for _, id := range []ci.TaskID{"build.0", "other.0", "foreign.0"} {
			l := w.hand(id, 1, "a")
			d := open(id, 1)
			_, err := d.PutFile(ctx, l, ci.File{Kind: ci.FileWorkspace, Name: "0"}, strings.NewReader(string(id)))
			require.NoError(t, err)
			_, err = d.PutFile(ctx, l, ci.File{Kind: ci.FileCache, Name: "of " + string(id)}, strings.NewReader("x"))
			require.NoError(t, err)
		}
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		layer := func(id ci.TaskID, epoch int64) ci.File {
			return ci.File{Kind: ci.FileWorkspace, Task: id, Epoch: epoch, Name: "0"}
		}
		found, err := d.FindFiles(ctx, l, ci.File{Kind: ci.FileWorkspace, Task: "build.0", Epoch: 1})
		require.NoError(t, err)
		require.Len(t, found, 1)
		r, err := d.OpenFile(ctx, l, layer("build.0", 1))
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, "build.0", string(data))
		require.NoError(t, r.Close())

		for _, f := range []ci.File{layer("other.0", 1), layer("foreign.0", 1), layer("build.0", 2), layer("", 0), layer("test.0", 2)} {
			_, err := d.FindFiles(ctx, l, f)
			require.ErrorIs(t, err, ci.ErrDenied, "%+v", f)
			_, err = d.OpenFile(ctx, l, f)
			require.ErrorIs(t, err, ci.ErrDenied)
			f.Kind = ci.FileArtifact
			_, err = d.OpenFile(ctx, l, f)
			require.ErrorIs(t, err, ci.ErrDenied)
		}
		_, err = d.FindFiles(ctx, l, ci.File{Kind: "odd"})
		require.ErrorIs(t, err, ci.ErrInvalid)
		_, err = d.OpenFile(ctx, l, layer("test.0", 1))
		require.ErrorIs(t, err, ci.ErrNotFound)

		found, err = d.FindFiles(ctx, l, ci.File{Kind: ci.FileCache, Name: "of "})
		require.NoError(t, err)
		require.Len(t, found, 2, "caches of the own project")
		_, err = d.OpenFile(ctx, l, ci.File{Kind: ci.FileCache, Name: "of foreign.0"})
		require.ErrorIs(t, err, ci.ErrNotFound)
	})
}

func TestP9_DamagedFile(t *testing.T) {
	everyWay(t, func(t *testing.T, w *world, open func(ci.TaskID, int64) both) {
		l := w.hand("test.0", 1, "a")
		d := open("test.0", 1)
		f, err := d.PutFile(t.Context(), l, ci.File{Kind: ci.FileCache, Name: "k"}, strings.NewReader(strings.Repeat("x", 10_000)))
		require.NoError(t, err)
		w.broken = true
		r, err := d.OpenFile(t.Context(), l, f)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.Error(t, err)
		require.NoError(t, r.Close())
	})
}
