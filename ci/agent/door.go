package agent

import (
	"context"
	"io"

	"github.com/rondo-ci/rondo/ci"
)

// A Door is what an agent asks of the server. All methods may be called at
// once and repeated.
//
// An error that wraps [ci.ErrConflict] says that the lease is stale: the agent
// kills its step and exits. One that wraps another sentinel of ci is final.
// Any other error is tried again until the lease's own fence: 9/11 of its TTL
// after the last good renewal.
type Door interface {
	// Claim takes the task that was handed out under that epoch. A conflict
	// means that it was superseded.
	Claim(ctx context.Context, task ci.TaskID, epoch int64, worker string) (ci.Work, error)
	// Renew extends the lease. The lease it returns may say Canceled.
	Renew(ctx context.Context, l ci.Lease) (ci.Lease, error)
	// PutStep writes the record of a step and returns when it is durable.
	PutStep(ctx context.Context, l ci.Lease, s ci.Step) error
	// Append stores output of a step at an offset, and returns how much of it
	// is stored now. An overlap is skipped. An offset beyond what is stored is
	// a conflict, with next saying how much that is.
	Append(ctx context.Context, l ci.Lease, step int, offset int64, data []byte) (next int64, err error)
	// PutTests replaces the test results of the task.
	PutTests(ctx context.Context, l ci.Lease, tests []ci.Test) error
	// Timings returns the tests of an earlier run of the job.
	Timings(ctx context.Context, l ci.Lease) ([]ci.Test, error)
	// Finish reports the outcome. Twice is allowed.
	Finish(ctx context.Context, l ci.Lease, r ci.Report) error
}

// Machines is where an agent gets a machine besides its own. All methods may be
// called at once and repeated.
type Machines interface {
	// Machine returns the task's machine, the same one each time. One that is
	// not Ready says why the task has to wait, after some seconds; then the
	// agent asks again. [ci.ErrInvalid] says why there will never be one.
	Machine(ctx context.Context, l ci.Lease, need ci.MachineNeed) (ci.Machine, error)
}

// Files is where an agent keeps caches, workspaces and artifacts. All methods
// may be called at once.
type Files interface {
	// PutFile stores what r holds under the file's kind and name, whole or not
	// at all. r is also an [io.ReaderAt] with a Size. A cache key that exists is [ci.ErrConflict], with the file that
	// is there.
	PutFile(ctx context.Context, l ci.Lease, f ci.File, r io.Reader) (ci.File, error)
	// FindFiles lists the caches whose name begins with that of like, newest
	// first, or the files of like's kind that its task and epoch stored, by
	// name. A name that is not empty must match there as well.
	FindFiles(ctx context.Context, l ci.Lease, like ci.File) ([]ci.File, error)
	// OpenFile reads a file. Damage is an error before the end of the file is
	// reported.
	OpenFile(ctx context.Context, l ci.Lease, f ci.File) (io.ReadCloser, error)
}
