package door_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A world is all that stands behind a door, in memory. It keeps the order of
// what happened in it.
type world struct {
	mu       sync.Mutex
	holder   map[ci.TaskID]ci.Lease
	outcome  map[ci.TaskID]ci.Report
	work     map[ci.TaskID]ci.Work
	steps    map[ci.LogKey]ci.Step
	tests    map[ci.TaskID][]ci.Test
	timings  map[string][]ci.Test
	output   map[ci.LogKey][]byte
	ended    map[ci.TaskID]int64
	files    map[string][]byte
	meta     []ci.File
	history  []string
	fault    map[string]error // by operation, once
	onCommit func()
	broken   bool // stored files are damaged
}

func newWorld() *world {
	w := &world{
		holder: map[ci.TaskID]ci.Lease{}, outcome: map[ci.TaskID]ci.Report{}, work: map[ci.TaskID]ci.Work{},
		steps: map[ci.LogKey]ci.Step{}, tests: map[ci.TaskID][]ci.Test{}, timings: map[string][]ci.Test{},
		output: map[ci.LogKey][]byte{}, ended: map[ci.TaskID]int64{}, files: map[string][]byte{}, fault: map[string]error{},
	}
	w.add("build.0", "p1")
	w.add("test.0", "p1", ci.Upstream{Task: "build.0", Epoch: 1, Job: "build"})
	w.add("other.0", "p1")
	w.add("foreign.0", "p2")
	return w
}

func (w *world) add(id ci.TaskID, p ci.ProjectID, up ...ci.Upstream) {
	job, index, _ := id.Split()
	w.work[id] = ci.Work{
		Task:    ci.Task{ID: id, Job: job, Name: string(job), Index: index, Total: 1, Workflow: "w1", Project: p},
		Project: ci.Project{ID: p}, Pipeline: ci.Pipeline{Trigger: ci.Trigger{Branch: "main"}}, Upstream: up,
	}
}

// hand makes the lease of a hand-out the current one.
func (w *world) hand(id ci.TaskID, epoch int64, worker string) ci.Lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := ci.Lease{Task: id, Epoch: epoch, Worker: worker, TTL: 330 * time.Second, Renew: 10 * time.Second}
	w.holder[id] = l
	return l
}

func (w *world) did(format string, args ...any) {
	w.history = append(w.history, fmt.Sprintf(format, args...))
}

func (w *world) fail(op string) error {
	err := w.fault[op]
	delete(w.fault, op)
	return err
}

func (w *world) current(l ci.Lease) bool {
	h := w.holder[l.Task]
	return h.Epoch == l.Epoch && h.Worker == l.Worker && h.Epoch > 0
}

type leases struct{ *world }

func (w leases) Claim(_ context.Context, id ci.TaskID, epoch int64, worker string) (ci.Lease, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.holder[id]
	if h.Epoch != epoch || (h.Worker != "" && h.Worker != worker) {
		return ci.Lease{}, ci.ErrConflict
	}
	h.Worker = worker
	w.holder[id] = h
	w.did("claim %s", id)
	return h, w.fail("claim")
}

func (w leases) Renew(_ context.Context, l ci.Lease) (ci.Lease, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.current(l) {
		return ci.Lease{}, ci.ErrConflict
	}
	return w.holder[l.Task], w.fail("renew")
}

func (w leases) Check(l ci.Lease) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.current(l) {
		return fmt.Errorf("stale: %w", ci.ErrConflict)
	}
	return w.fail("check")
}

func (w leases) Finish(_ context.Context, l ci.Lease, r ci.Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail("finish"); err != nil {
		return err
	}
	if done, ok := w.outcome[l.Task]; ok && done == r {
		w.did("finish %s again", l.Task)
		return nil
	}
	if !w.current(l) {
		return ci.ErrConflict
	}
	w.outcome[l.Task] = r
	delete(w.holder, l.Task)
	w.did("finish %s %s", l.Task, r.Status)
	return nil
}

func (w *world) Report(_ context.Context, r ci.Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did("report %s %s on %s", r.Task, r.Status, r.Node)
	return w.fail("report")
}

func (w *world) Work(_ context.Context, l ci.Lease) (ci.Work, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did("work %s", l.Task)
	work := w.work[l.Task]
	work.Lease = l
	return work, w.fail("work")
}

func (w *world) PutStep(_ context.Context, l ci.Lease, s ci.Step) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did("step %d %s", s.Index, s.Status)
	w.steps[ci.LogKey{Task: l.Task, Epoch: l.Epoch, Step: s.Index}] = s
	return w.fail("putstep")
}

func (w *world) Steps(_ context.Context, t ci.TaskID, epoch int64) ([]ci.Step, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []ci.Step
	for k, s := range w.steps {
		if k.Task == t && k.Epoch == epoch {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b ci.Step) int { return cmp.Compare(a.Index, b.Index) })
	return out, w.fail("steps")
}

func (w *world) PutTests(_ context.Context, l ci.Lease, tests []ci.Test) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tests[l.Task] = tests
	return w.fail("puttests")
}

func (w *world) Tests(context.Context, ci.JobID) ([]ci.Test, error) { return nil, nil }

func (w *world) Timings(_ context.Context, p ci.ProjectID, job, branch string) ([]ci.Test, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.timings[string(p)+"/"+job+"/"+branch], w.fail("timings")
}

func (w *world) Append(_ context.Context, k ci.LogKey, offset int64, data []byte) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := int64(len(w.output[k]))
	switch err := w.fail("append"); {
	case err != nil:
		return size, err
	case w.ended[k.Task] == k.Epoch:
		return size, fmt.Errorf("ended: %w", ci.ErrConflict)
	case offset > size:
		return size, ci.ErrConflict
	}
	if skip := size - offset; skip < int64(len(data)) {
		w.output[k] = append(w.output[k], data[skip:]...)
	}
	return int64(len(w.output[k])), nil
}

func (w *world) Size(_ context.Context, k ci.LogKey) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.output[k])), w.fail("size")
}

func (w *world) End(_ context.Context, t ci.TaskID, epoch int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail("end"); err != nil {
		return err
	}
	w.did("end %s", t)
	w.ended[t] = epoch
	return nil
}

func fileKey(p ci.ProjectID, f ci.File) string {
	return fmt.Sprint(p, "|", f.Kind, "|", f.Task, "|", f.Epoch, "|", f.Name)
}

func (w *world) find(p ci.ProjectID, f ci.File) (ci.File, bool) {
	for _, m := range w.meta {
		if w.files[fileKey(p, m)] != nil && fileKey(p, m) == fileKey(p, f) {
			return m, true
		}
	}
	return ci.File{}, false
}

func (w *world) PutFile(_ context.Context, p ci.ProjectID, f ci.File, r io.Reader) (ci.File, error) {
	w.mu.Lock()
	existing, ok := w.find(p, f)
	err := w.fail("putfile")
	w.mu.Unlock()
	switch {
	case ok:
		return existing, fmt.Errorf("exists: %w", ci.ErrConflict)
	case err != nil:
		return ci.File{}, err
	}
	var b bytes.Buffer
	b.WriteByte(0) // never nil
	if _, err := io.Copy(&b, r); err != nil {
		return ci.File{}, errors.New("store it: " + err.Error()) // loses the cause, as a driver may
	}
	data := b.Bytes()[1:]
	sum := sha256.Sum256(data)
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Size, f.SHA256, f.Stored = int64(len(data)), hex.EncodeToString(sum[:]), time.Unix(int64(len(w.meta)), 0).UTC()
	w.files[fileKey(p, f)] = b.Bytes()
	w.meta = append(w.meta, f)
	return f, nil
}

func (w *world) FindFiles(_ context.Context, p ci.ProjectID, like ci.File) iter.Seq2[ci.File, error] {
	return func(yield func(ci.File, error) bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err := w.fail("findfiles"); err != nil {
			yield(ci.File{}, err)
			return
		}
		for _, m := range slices.Backward(w.meta) {
			same := m.Kind == like.Kind && m.Task == like.Task && m.Epoch == like.Epoch
			if _, mine := w.files[fileKey(p, m)]; same && mine && strings.HasPrefix(m.Name, like.Name) && !yield(m, nil) {
				return
			}
		}
	}
}

func (w *world) OpenFile(_ context.Context, p ci.ProjectID, f ci.File) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	data := w.files[fileKey(p, f)]
	if data == nil {
		return nil, fmt.Errorf("open: %w", ci.ErrNotFound)
	}
	r := io.Reader(bytes.NewReader(data[1:]))
	if w.broken {
		r = io.MultiReader(bytes.NewReader(data[1:len(data)/2]), errReader{errors.New("checksum mismatch")})
	}
	return io.NopCloser(r), nil
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }
