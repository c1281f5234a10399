package storage

import (
	"errors"
)

// acquire returns the handout for use; release must follow.
func (l *Logs) acquire(id handoutID) (*handout, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return nil, errClosed
	default:
	}
	h := l.handouts[id]
	if h == nil {
		h = &handout{id: id}
		l.handouts[id] = h
	}
	l.use(h)
	return h, nil
}

// use counts one more call under way. l.mu is held.
func (l *Logs) use(h *handout) {
	h.refs++
	if h.elem != nil {
		l.idle.Remove(h.elem)
		h.elem = nil
	}
}

func (l *Logs) release(h *handout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.refs--; h.refs > 0 {
		return
	}
	h.elem = l.idle.PushFront(h)
	limit := l.cfg.MaxOpen
	select {
	case <-l.done:
		limit = 0
	default:
	}
	for l.idle.Len() > limit {
		if err := l.evict(); err != nil {
			l.cfg.Log.Warn("close log file", "error", err)
		}
	}
}

// evict closes what the longest unused handout has open, and forgets it unless
// it is pinned. l.mu is held; with refs 0 nobody holds the handout's own locks.
func (l *Logs) evict() error {
	elem := l.idle.Back()
	h := l.idle.Remove(elem).(*handout)
	h.elem = nil
	err := h.close()
	if h.pins == 0 {
		delete(l.handouts, h.id)
	}
	return err
}

// pin keeps an acquired handout known until unpin.
func (l *Logs) pin(h *handout) {
	l.mu.Lock()
	h.pins++
	l.mu.Unlock()
}

func (l *Logs) unpin(h *handout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.pins--; h.pins == 0 && h.refs == 0 && h.elem == nil {
		delete(l.handouts, h.id)
	}
}

// close closes the files.
func (h *handout) close() error {
	var errs []error
	if h.hot != nil && h.hot.f != nil {
		errs = append(errs, h.hot.f.Close())
		h.hot.f = nil
	}
	for _, f := range h.old {
		errs = append(errs, f.Close())
	}
	h.old = nil
	return errors.Join(errs...)
}
