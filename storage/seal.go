package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// sealBuffer is how many bytes of all streams together a sealer holds.
const sealBuffer = 4 << 20

// sealTimeout is how long Run waits for the bucket to take one log.
const sealTimeout = 10 * time.Minute

// Run seals the logs of hand-outs that have ended, a while after their last
// output, and also those that an earlier Run has left; what cannot be sealed
// is tried again later. It returns nil when ctx ends, and an error as soon as
// a sync has failed: the process should then end and start anew, since only a
// new start can find out what the disk really has. Without a bucket there is
// nothing to seal, and Run only waits for either.
func (l *Logs) Run(ctx context.Context) error {
	var tick <-chan time.Time
	if l.cfg.Bucket != nil {
		t := time.NewTicker(max(l.cfg.SealAfter/2, time.Second))
		defer t.Stop()
		tick = t.C
		l.sealAll(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.failed:
			return fmt.Errorf("keep logs: %w", l.failure)
		case <-tick:
			l.sealAll(ctx)
		}
	}
}

// sealAll seals what is due.
func (l *Logs) sealAll(ctx context.Context) {
	due := time.Now().Add(-l.cfg.SealAfter)
	var names []string
	err := l.disk.each(func(name string, written time.Time) bool {
		if strings.HasSuffix(name, logSuffix) && !written.After(due) {
			names = append(names, name)
		}
		return len(names) < 10_000 // the others have their turn next time
	})
	if err != nil {
		l.cfg.Log.Error("look for logs to seal", "error", err)
	}
	for _, name := range names {
		id, ended, err := l.peek(name)
		if err == nil && ended {
			err = l.sealSoon(ctx, id)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.cfg.Log.Error("seal log", "task", id.task, "file", name, "error", err)
		}
	}
}

// sealSoon seals, but not for ever: others wait.
func (l *Logs) sealSoon(ctx context.Context, id handoutID) error {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	return l.Seal(ctx, id.task, id.epoch)
}

// peek says whose a hot file is and whether it has an end, without reading it.
func (l *Logs) peek(name string) (id handoutID, ended bool, err error) {
	f, err := l.disk.open(name)
	if err != nil {
		return id, false, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return id, false, err
	}
	s, nonce, owner, _, err := readHead(f, size)
	if errors.Is(err, errTorn) {
		return id, false, nil // whoever uses it next deals with it
	}
	if err != nil {
		return id, false, err
	}
	epoch, task, _ := strings.Cut(owner, " ")
	id.task = ci.TaskID(task)
	if id.epoch, err = strconv.ParseInt(epoch, 10, 64); err != nil {
		return id, false, fmt.Errorf("head of file %s: %w", name, err)
	}
	if _, _, err = readEnd(f, s, nonce, size); errors.Is(err, errTorn) {
		return id, false, nil
	}
	return id, err == nil, err
}

// Seal moves the log of a hand-out that has ended to the bucket now, and
// returns when it is there and the hot file is removed. A crash at any point
// between leaves one of them or both, which are the same. One that has not
// ended is [ci.ErrConflict]; one that is sealed, or of which there is nothing,
// is no error. Without a bucket it does nothing.
func (l *Logs) Seal(ctx context.Context, task ci.TaskID, epoch int64) error {
	err := checkKey(ci.LogKey{Task: task, Epoch: epoch})
	if err == nil && l.cfg.Bucket != nil {
		err = l.seal(ctx, handoutID{task, epoch})
	}
	if err != nil {
		return fmt.Errorf("seal logs of task %.100q epoch %d: %w", task, epoch, err)
	}
	return nil
}

func (l *Logs) seal(ctx context.Context, id handoutID) error {
	h, err := l.acquire(id)
	if err != nil {
		return err
	}
	defer l.release(h)
	h.sealing.Lock()
	defer h.sealing.Unlock()
	if err := l.ready(ctx, h, false); err != nil {
		return err
	}
	hot, sealed, over := h.state() // does not change under h.sealing, once over
	switch {
	case !over:
		return fmt.Errorf("it has not ended: %w", ci.ErrConflict)
	case sealed != nil:
		return l.disk.remove(id.fileName()) // in case that it was left before
	case hot == nil:
		return nil
	}
	sealed, err = l.openSealed(ctx, id)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if !covers(sealed, hot) {
		if sealed, err = l.pack(ctx, id, hot); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retire(sealed)
	return l.disk.remove(hot.name)
}

// covers says whether a sealed log has all that the hot file has: then it was
// sealed before, and the server died before it could remove the file. (The
// file may also have less: somebody wrote to a hand-out that had long been
// sealed, while the bucket could not be asked. The sealed log is then the
// true one.)
func covers(s *sealedLog, h *hotFile) bool {
	if s == nil {
		return false
	}
	for step, stream := range h.streams {
		if s.size(step) < stream.size {
			return false
		}
	}
	return true
}
