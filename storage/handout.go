package storage

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

const (
	logSuffix = ".log"
	badSuffix = ".bad"

	// askTimeout is how long a write waits for the bucket to say whether the
	// hand-out has been sealed.
	askTimeout = 2 * time.Second
)

// A handoutID names one hand-out of a task.
type handoutID struct {
	task  ci.TaskID
	epoch int64
}

// fileName returns the name of its hot file: the task, with all but the tamest
// characters escaped, and the epoch. No two hand-outs have the same.
func (id handoutID) fileName() string {
	return escapePart(string(id.task)) + "," + strconv.FormatInt(id.epoch, 10) + logSuffix
}

// owner returns what its hot file says about itself.
func (id handoutID) owner() string { return strconv.FormatInt(id.epoch, 10) + " " + string(id.task) }

// escapePart makes one path element of any string, injectively: characters
// that could mean something to anybody become "!" and their code, and what
// gets too long ends in a hash.
func escapePart(s string) string {
	e := appendEscaped(nil, s)
	if len(e) <= 150 {
		return string(e)
	}
	sum := sha256.Sum256([]byte(s))
	return string(appendEscaped(nil, s[:20])) + "!-" + hex.EncodeToString(sum[:])
}

// A handout is what is known of the logs of one hand-out, while somebody uses
// them and for a while after. They are in a hot file, or sealed in the bucket,
// or nowhere yet.
type handout struct {
	id handoutID

	// Guarded by Logs.mu. refs counts calls under way, which may use the
	// file; pins counts those who only want to keep the handout known.
	refs, pins int
	elem       *list.Element // in Logs.idle, when refs is 0 and something is open

	sealing sync.Mutex // held while it is sealed or deleted
	syncing sync.Mutex // held while the hot file is synced

	mu     sync.Mutex
	hot    *hotFile
	sealed *sealedLog
	fresh  bool                  // it is known to be nowhere
	watch  map[int]chan struct{} // per step: closed when there is more
	old    []file                // of hot files that are gone, perhaps still read
}

// ready finds out where the logs are and opens the hot file. When the bucket
// does not answer, somebody who wants to write goes on as if it had nothing:
// output of a running step must not wait for an object store. (Should the
// bucket have the log after all, then that one is kept; see [Logs.Seal].)
func (l *Logs) ready(ctx context.Context, h *handout, write bool) error {
	known, err := l.look(h)
	if known || err != nil {
		return err
	}
	var sealed *sealedLog
	if l.cfg.Bucket != nil {
		bctx := ctx
		if write {
			var cancel context.CancelFunc
			bctx, cancel = context.WithTimeout(ctx, askTimeout)
			defer cancel()
		}
		sealed, err = l.openSealed(bctx, h.id)
		if err != nil && (!write || ctx.Err() != nil) {
			return err
		}
		if err != nil {
			l.cfg.Log.Warn("the bucket of logs does not answer", "task", h.id.task, "error", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hot == nil && h.sealed == nil {
		h.sealed, h.fresh = sealed, sealed == nil
	}
	return nil
}

// look does the part of ready that needs no bucket.
func (l *Logs) look(h *handout) (known bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.hot != nil:
		if h.hot.f == nil {
			h.hot.f, err = l.disk.open(h.hot.name)
		}
		return true, err
	case h.sealed != nil, h.fresh:
		return true, nil
	}
	hot, err := loadHot(l.disk, h.id.fileName(), h.id.owner(), l.cfg.Log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	h.hot = hot
	return hot != nil, nil
}

// append writes what is new of data. It returns how far the hot file must be
// synced before the bytes may be acknowledged.
func (h *handout) append(d disk, step int, offset int64, data []byte, buf *[]byte) (pos int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	size, end := int64(0), int64(0)
	switch {
	case h.sealed != nil:
		size = h.sealed.size(step)
	case h.hot != nil:
		s := h.hot.stream(step)
		size, end = s.size, s.end
	}
	switch skip := size - offset; {
	case skip < 0:
		return 0, fmt.Errorf("offset is %d and the size %d: %w", offset, size, ci.ErrConflict)
	case skip >= int64(len(data)):
		return end, nil
	default:
		data = data[skip:]
	}
	if h.sealed != nil || h.hot != nil && h.hot.ended {
		return 0, fmt.Errorf("it has ended: %w", ci.ErrConflict)
	}
	if err := h.make(d); err != nil {
		return 0, err
	}
	*buf, err = h.hot.append(step, data, *buf)
	return h.hot.size, err
}

// make makes the hot file if there is none.
func (h *handout) make(d disk) error {
	if h.hot != nil {
		return nil
	}
	hot, err := createHot(d, h.id.fileName(), h.id.owner())
	if err != nil {
		return err
	}
	h.hot, h.fresh = hot, false
	return nil
}

// end writes the end, once.
func (h *handout) end(d disk) (pos int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed != nil {
		return 0, nil
	}
	if err := h.make(d); err != nil {
		return 0, err
	}
	if !h.hot.ended {
		err = h.hot.finish()
	}
	return h.hot.size, err
}

// state returns where the logs are, and whether the hand-out has ended. One
// without a trace has.
func (h *handout) state() (hot *hotFile, sealed *sealedLog, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hot, h.sealed, h.hot == nil || h.hot.ending()
}

// size returns how much of the step's output is durable.
func (h *handout) size(step int) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.sealed != nil:
		return h.sealed.size(step)
	case h.hot != nil:
		return h.hot.stream(step).durable
	}
	return 0
}

// forget removes the hot file of a hand-out that has ended, and what was known
// of the sealed one.
func (h *handout) forget(d disk) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hot != nil {
		if err := d.remove(h.hot.name); err != nil {
			return err
		}
	}
	h.retire(nil)
	return nil
}

// retire replaces the hot file by the sealed log. h.mu is held.
func (h *handout) retire(sealed *sealedLog) {
	if h.hot != nil && h.hot.f != nil {
		h.old = append(h.old, h.hot.f)
	}
	h.hot, h.sealed, h.fresh = nil, sealed, sealed == nil
	for step := range h.watch {
		h.wake(step)
	}
}

// wake wakes those who wait for more of a step's output. h.mu is held.
func (h *handout) wake(step int) {
	if c := h.watch[step]; c != nil {
		close(c)
		delete(h.watch, step)
	}
}
