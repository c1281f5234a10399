package storage

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"

	"github.com/rondo-ci/rondo/ci"
)

// MaxAppend is the most bytes that one [Logs.Append] takes.
const MaxAppend = 1 << 20

const (
	maxStep   = 1 << 20            // steps of a hand-out
	maxOffset = math.MaxInt64 >> 1 // size of a stream
	maxTask   = 1 << 10            // bytes in a task's ID
)

// LogsConfig says how logs are kept. The zero value keeps them in hot files.
type LogsConfig struct {
	// Bucket is where logs go when their hand-out has ended. Nil leaves them
	// in their hot files. A write to it must be durable when it returns, as
	// with [OpenDir] and object stores (but not fileblob).
	Bucket *blob.Bucket
	// SealAfter is how long after the last output [Logs.Run] moves the log of
	// an ended hand-out to the bucket. 0 means a minute: people look at logs
	// most in their first moments, and machines are busiest then. Less than 0
	// means as soon as possible.
	SealAfter time.Duration
	// MaxOpen is how many hot files may stay open while nobody uses them. 0
	// means 256.
	MaxOpen int
	// Log gets what no caller can be told; nil is silent.
	Log *slog.Logger
}

// Logs keeps the output of steps. All methods are safe for concurrent use. A
// folder must belong to one Logs at a time.
type Logs struct {
	disk disk
	cfg  LogsConfig
	bufs sync.Pool // of *[]byte
	// decoder makes the one decoder of sealed logs when it is first needed.
	decoder func() (*zstd.Decoder, error)

	mu       sync.Mutex
	handouts map[handoutID]*handout
	idle     list.List // of *handout with refs 0, the latest used in front
	done     chan struct{}
	failed   chan struct{} // closed after the first failed sync
	failure  error
}

// OpenLogs opens the logs in the folder, which is made if it is missing. An
// empty dir keeps hot files in memory, for tests and for offline runs. Opening
// costs the same whatever the folder holds: a file is looked into when it is
// first asked for.
func OpenLogs(dir string, cfg LogsConfig) (*Logs, error) {
	if dir == "" {
		return newLogs(newMemDisk(), cfg), nil
	}
	d, err := openDisk(dir)
	if err != nil {
		return nil, fmt.Errorf("open logs: %w", err)
	}
	return newLogs(d, cfg), nil
}

// NewMemLogs returns empty logs in memory that never go to a bucket.
func NewMemLogs() *Logs { return newLogs(newMemDisk(), LogsConfig{}) }

func newLogs(d disk, cfg LogsConfig) *Logs {
	if cfg.SealAfter == 0 {
		cfg.SealAfter = time.Minute
	}
	if cfg.MaxOpen <= 0 {
		cfg.MaxOpen = 256
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Logs{
		disk: d, cfg: cfg, handouts: map[handoutID]*handout{},
		bufs:    sync.Pool{New: func() any { return new([]byte) }},
		decoder: sync.OnceValues(newDecoder),
		done:    make(chan struct{}), failed: make(chan struct{}),
	}
}

// Append stores data at the offset of the step's stream and returns the offset
// that is expected next, which is how many bytes are durably stored.
//
// Bytes before the end of what is stored are taken for a repetition and
// skipped; the rest is appended. An offset beyond the end stores nothing and
// is [ci.ErrConflict]: resend from next. So is more output for a hand-out that
// has ended. A negative offset, a key that names no step, or more than
// [MaxAppend] bytes is [ci.ErrInvalid]. After any other error the bytes may or
// may not have been stored, and sending them again is right; but once a sync
// has failed nothing more is accepted for that hand-out, and [Logs.Run]
// returns, because only a new start can find out what the disk really has.
//
// Appends to one hand-out that come at the same time share a sync.
func (l *Logs) Append(ctx context.Context, key ci.LogKey, offset int64, data []byte) (next int64, err error) {
	err = checkKey(key)
	switch {
	case err != nil:
	case offset < 0 || offset > maxOffset-MaxAppend:
		err = fmt.Errorf("offset %d: %w", offset, ci.ErrInvalid)
	case len(data) > MaxAppend:
		err = fmt.Errorf("%d bytes at once, at most %d: %w", len(data), MaxAppend, ci.ErrInvalid)
	default:
		next, err = l.append(ctx, key, offset, data)
	}
	if err != nil {
		return next, keyError("append to", key, err)
	}
	return next, nil
}

func (l *Logs) append(ctx context.Context, key ci.LogKey, offset int64, data []byte) (int64, error) {
	h, err := l.acquire(handoutID{key.Task, key.Epoch})
	if err != nil {
		return 0, err
	}
	defer l.release(h)
	if err := l.ready(ctx, h, true); err != nil {
		return 0, err
	}
	buf := l.bufs.Get().(*[]byte)
	pos, err := h.append(l.disk, key.Step, offset, data, buf)
	l.bufs.Put(buf)
	if err == nil {
		err = l.sync(h, pos)
	}
	next := h.size(key.Step)
	return next, err
}

// Size returns how many bytes of the step's output are durably stored; 0 when
// there is none, or no such step.
func (l *Logs) Size(ctx context.Context, key ci.LogKey) (int64, error) {
	size, err := l.sizeOf(ctx, key)
	if err != nil {
		return 0, keyError("size of", key, err)
	}
	return size, nil
}

func (l *Logs) sizeOf(ctx context.Context, key ci.LogKey) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	h, err := l.acquire(handoutID{key.Task, key.Epoch})
	if err != nil {
		return 0, err
	}
	defer l.release(h)
	if err := l.ready(ctx, h, false); err != nil {
		return 0, err
	}
	return h.size(key.Step), nil
}

// End says that no more output comes for a hand-out: its agent has finished,
// or has lost its lease. Followers then end. It is durable when it returns,
// and repeating it is no error. A hand-out whose End is never called stays in
// its hot file and keeps its followers waiting.
func (l *Logs) End(ctx context.Context, task ci.TaskID, epoch int64) error {
	key := ci.LogKey{Task: task, Epoch: epoch}
	err := checkKey(key)
	if err == nil {
		err = l.end(ctx, handoutID{task, epoch})
	}
	if err != nil {
		return fmt.Errorf("end logs of task %.100q epoch %d: %w", task, epoch, err)
	}
	return nil
}

func (l *Logs) end(ctx context.Context, id handoutID) error {
	h, err := l.acquire(id)
	if err != nil {
		return err
	}
	defer l.release(h)
	if err := l.ready(ctx, h, true); err != nil {
		return err
	}
	pos, err := h.end(l.disk)
	if err != nil {
		return err
	}
	return l.sync(h, pos)
}

// Delete removes the output of a hand-out that has ended; of one that has not
// it is [ci.ErrConflict]. What is not there is no error.
func (l *Logs) Delete(ctx context.Context, task ci.TaskID, epoch int64) error {
	err := checkKey(ci.LogKey{Task: task, Epoch: epoch})
	if err == nil {
		err = l.delete(ctx, handoutID{task, epoch})
	}
	if err != nil {
		return fmt.Errorf("delete logs of task %.100q epoch %d: %w", task, epoch, err)
	}
	return nil
}

func (l *Logs) delete(ctx context.Context, id handoutID) error {
	h, err := l.acquire(id)
	if err != nil {
		return err
	}
	defer l.release(h)
	h.sealing.Lock() // or the log would come back
	defer h.sealing.Unlock()
	if err := l.ready(ctx, h, false); err != nil {
		return err
	}
	switch hot, sealed, over := h.state(); {
	case !over:
		return fmt.Errorf("it has not ended: %w", ci.ErrConflict)
	case hot == nil && sealed == nil:
		return nil
	}
	if err := l.deleteSealed(ctx, id); err != nil {
		return err
	}
	return h.forget(l.disk)
}

// Close closes all files and wakes all followers; whatever is called after it
// gets an error that is [fs.ErrClosed]. Calls that are under way may fail.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return nil
	default:
		close(l.done)
	}
	var err error
	for l.idle.Len() > 0 {
		err = errors.Join(err, l.evict())
	}
	return errors.Join(err, l.disk.close())
}

func checkKey(key ci.LogKey) error {
	switch {
	case key.Task == "":
		return fmt.Errorf("no task: %w", ci.ErrInvalid)
	case len(key.Task) > maxTask:
		return fmt.Errorf("a task of %d bytes: %w", len(key.Task), ci.ErrInvalid)
	case key.Epoch < 0:
		return fmt.Errorf("epoch is negative: %w", ci.ErrInvalid)
	case key.Step < 0 || key.Step > maxStep:
		return fmt.Errorf("step is not in 0..%d: %w", maxStep, ci.ErrInvalid)
	}
	return nil
}

func keyError(op string, key ci.LogKey, err error) error {
	return fmt.Errorf("%s log of task %.100q epoch %d step %d: %w", op, key.Task, key.Epoch, key.Step, err)
}

// errClosed is what a closed Logs answers.
var errClosed = fmt.Errorf("logs: %w", fs.ErrClosed)
