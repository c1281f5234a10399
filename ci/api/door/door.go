package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"github.com/rondo-ci/rondo/ci"
)

// MaxChunk is how many bytes of output one Append may carry.
const MaxChunk = 1 << 20

// Leases knows who holds a task. A scheduler is one.
type Leases interface {
	// Claim gives the hand-out of a task to a worker. The same worker may ask
	// again. [ci.ErrConflict] when the hand-out is superseded or taken.
	Claim(ctx context.Context, task ci.TaskID, epoch int64, worker string) (ci.Lease, error)
	// Renew prolongs a lease; [ci.ErrConflict] when it is not the current one.
	Renew(ctx context.Context, l ci.Lease) (ci.Lease, error)
	// Check returns [ci.ErrConflict] when the lease is not the current one. It
	// is asked before every write and must be cheap.
	Check(l ci.Lease) error
	// Finish ends the lease and makes the outcome durable before it returns.
	// The same outcome twice is no error.
	Finish(ctx context.Context, l ci.Lease, r ci.Report) error
}

// Server knows what a task is to do. A [ci.Server] is one.
type Server interface {
	Work(ctx context.Context, l ci.Lease) (ci.Work, error)
}

// Logs keeps the output of steps.
type Logs interface {
	// Append stores data at the offset, durably, and returns the size stored.
	// What is stored already is skipped; an offset beyond the size stores
	// nothing and is [ci.ErrConflict].
	Append(ctx context.Context, k ci.LogKey, offset int64, data []byte) (next int64, err error)
	// Size returns how much is stored; 0 for a key that was never written.
	Size(ctx context.Context, k ci.LogKey) (int64, error)
	// End says that the hand-out writes no more. Twice is no error.
	End(ctx context.Context, task ci.TaskID, epoch int64) error
}

// Files keeps caches, workspace layers and artifacts, by project.
type Files interface {
	// PutFile stores what r yields until io.EOF; any other error of r stores
	// nothing. A name that is taken gives the existing file and
	// [ci.ErrConflict].
	PutFile(ctx context.Context, p ci.ProjectID, f ci.File, r io.Reader) (ci.File, error)
	// FindFiles yields caches whose name begins with that of like, newest
	// first, or the files of like's task and epoch, by name.
	FindFiles(ctx context.Context, p ci.ProjectID, like ci.File) iter.Seq2[ci.File, error]
	// OpenFile reads a file and verifies it: a mismatch is an error in place of
	// io.EOF.
	OpenFile(ctx context.Context, p ci.ProjectID, f ci.File) (io.ReadCloser, error)
}

// Config holds what a [Door] can do without.
type Config struct {
	// Log receives faults; nil is silent.
	Log *slog.Logger
	// MaxFile is the size in bytes that a stored file may have; 0 is 32 GiB.
	MaxFile int64
	// Direct takes large files past the door; nil takes none.
	Direct Direct
	// Machines gives tasks machines; nil has none.
	Machines Machines
	// Admit is asked about who claims a hand-out with a ticket over the network:
	// whether it is the agent that was started for it, by what stands in the
	// header Rondo-Identity. [ci.ErrDenied] turns it away, another error lets it
	// ask again. nil admits everybody.
	Admit func(ctx context.Context, task ci.TaskID, epoch int64, identity string) error
}

// A Door does what agents ask for. All methods are safe for concurrent use and
// may be repeated.
type Door struct {
	leases  Leases
	server  Server
	records ci.Records
	logs    Logs
	files   Files
	cfg     Config
	log     *slog.Logger
	scopes  scopes
}

// New returns a door. It starts nothing.
func New(leases Leases, server Server, records ci.Records, logs Logs, files Files, cfg Config) *Door {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxFile <= 0 {
		cfg.MaxFile = 32 << 30
	}
	return &Door{
		leases: leases, server: server, records: records, logs: logs, files: files,
		cfg: cfg, log: cfg.Log,
	}
}

// Claim takes the hand-out of a task for the worker and returns what is to be
// done. [ci.ErrConflict]
// means that the hand-out is superseded or taken: the agent must exit before it
// runs anything.
//
// When the server can never say what is to be done, the task is ended as
// [ci.InfraFailed], since every other agent would fare the same.
func (d *Door) Claim(ctx context.Context, task ci.TaskID, epoch int64, worker string) (ci.Work, error) {
	if _, _, ok := task.Split(); !ok || epoch < 1 || worker == "" {
		return ci.Work{}, fmt.Errorf("claim task %q epoch %d worker %q: %w", task, epoch, worker, ci.ErrInvalid)
	}
	// What is to be done does not depend on whether it may be done, so both are
	// asked at once.
	type answer struct {
		work ci.Work
		err  error
	}
	asked := make(chan answer, 1)
	go func() {
		work, err := d.server.Work(ctx, ci.Lease{Task: task, Epoch: epoch, Worker: worker})
		asked <- answer{work, err}
	}()
	l, err := d.leases.Claim(ctx, task, epoch, worker)
	got := <-asked
	if err != nil {
		return ci.Work{}, fmt.Errorf("claim task %s: %w", task, err)
	}
	work, err := got.work, got.err
	if err != nil {
		err = fmt.Errorf("claim task %s: %w", task, err)
		if Final(err) && !errors.Is(err, ci.ErrConflict) {
			return ci.Work{}, errors.Join(err, d.refuse(ctx, l, err))
		}
		return ci.Work{}, err
	}
	work.Lease, work.Machine = l, d.machineNeed(work.Job)
	d.scopes.put(l, scopeOf(work))
	return work, nil
}

// refuse ends a task that cannot be run at all.
func (d *Door) refuse(ctx context.Context, l ci.Lease, cause error) error {
	return d.Finish(ctx, l, ci.Report{Status: ci.InfraFailed, Reason: cause.Error()})
}

// Renew prolongs the lease. [ci.ErrConflict] asks the agent to stop at once,
// Canceled in the returned lease to stop with grace.
func (d *Door) Renew(ctx context.Context, l ci.Lease) (ci.Lease, error) {
	next, err := d.leases.Renew(ctx, l)
	if err != nil {
		return ci.Lease{}, fmt.Errorf("renew task %s: %w", l.Task, err)
	}
	return next, nil
}

// PutStep writes a step, durably. It is called before anything of the step
// runs, and again when it has ended.
func (d *Door) PutStep(ctx context.Context, l ci.Lease, s ci.Step) error {
	if s.Index < 0 || s.Index >= maxSteps || s.Bytes < 0 || s.Lost < 0 {
		return fmt.Errorf("put step %d of task %s: %w", s.Index, l.Task, ci.ErrInvalid)
	}
	if err := d.leases.Check(l); err != nil {
		return fmt.Errorf("put step %d of task %s: %w", s.Index, l.Task, err)
	}
	if err := d.records.PutStep(ctx, l, s); err != nil {
		return fmt.Errorf("put step %d of task %s: %w", s.Index, l.Task, err)
	}
	return nil
}

// maxSteps is how many steps a task may have.
const maxSteps = 100_000

// Append stores output of a step at the offset and returns the size that is now
// durable. Bytes that are stored already are skipped. An offset beyond the size
// is [ci.ErrConflict], with the size from where to send again; a stale lease is
// [ci.ErrConflict] with the offset itself. More than [MaxChunk] bytes are
// [ci.ErrInvalid].
func (d *Door) Append(ctx context.Context, l ci.Lease, step int, offset int64, data []byte) (int64, error) {
	if step < 0 || step >= maxSteps || offset < 0 || len(data) > MaxChunk {
		return offset, fmt.Errorf("append %d bytes at %d to step %d of task %s: %w",
			len(data), offset, step, l.Task, ci.ErrInvalid)
	}
	if err := d.leases.Check(l); err != nil {
		return offset, fmt.Errorf("append to step %d of task %s: %w", step, l.Task, err)
	}
	// The epoch is part of the key: should the lease be lost right now, the
	// bytes stay with the hand-out that wrote them.
	next, err := d.logs.Append(ctx, ci.LogKey{Task: l.Task, Epoch: l.Epoch, Step: step}, offset, data)
	if err != nil {
		return next, fmt.Errorf("append to step %d of task %s: %w", step, l.Task, err)
	}
	return next, nil
}

// PutTests replaces the test results of the task, durably.
func (d *Door) PutTests(ctx context.Context, l ci.Lease, tests []ci.Test) error {
	if err := d.leases.Check(l); err != nil {
		return fmt.Errorf("put tests of task %s: %w", l.Task, err)
	}
	if err := d.records.PutTests(ctx, l, tests); err != nil {
		return fmt.Errorf("put tests of task %s: %w", l.Task, err)
	}
	return nil
}

// Timings returns the test results of the last good run of the same job, for
// splitting tests among nodes. None is no error.
func (d *Door) Timings(ctx context.Context, l ci.Lease) ([]ci.Test, error) {
	s, err := d.scope(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("timings for task %s: %w", l.Task, err)
	}
	tests, err := d.records.Timings(ctx, s.project, s.job, s.branch)
	if err != nil {
		return nil, fmt.Errorf("timings for task %s: %w", l.Task, err)
	}
	return tests, nil
}
