package storage

import (
	"fmt"
)

// sync returns when the hot file is durable up to pos. Those who come while
// somebody else syncs are served together by the next sync.
func (l *Logs) sync(h *handout, pos int64) error {
	h.syncing.Lock()
	defer h.syncing.Unlock()
	h.mu.Lock()
	hot := h.hot
	if hot == nil || pos <= hot.synced {
		h.mu.Unlock()
		return nil // the latter also when the file has broken since
	}
	if hot.broken != nil {
		defer h.mu.Unlock()
		return hot.broken
	}
	size, named, f := hot.size, hot.named, hot.f
	h.mu.Unlock()

	err := f.Sync()
	if err == nil && !named {
		err = l.disk.sync()
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		hot.fail(err)
		l.fail(h, hot.broken)
		return hot.broken
	}
	hot.publish(size, h.wake)
	if hot.ending() {
		for step := range h.watch {
			h.wake(step)
		}
	}
	return nil
}

// fail makes Run return, and keeps the broken handout from being forgotten.
func (l *Logs) fail(h *handout, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.pins++
	if l.failure == nil {
		l.failure = fmt.Errorf("logs of task %.100q epoch %d: %w", h.id.task, h.id.epoch, err)
		close(l.failed)
	}
}
