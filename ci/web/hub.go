package web

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A hub follows the events once for all watchers. It follows while it has at
// least one.
type hub struct {
	conduct Conductor
	read    ci.EventReader
	log     *slog.Logger

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	stop     context.CancelFunc // ends the following; nil when nobody watches
}

// A watcher is told that something it looks at has changed. It costs nothing
// while nothing happens; what happens while it is busy becomes one wake-up.
type watcher struct {
	match func(ci.Event) bool
	wake  chan struct{} // has one element after a matching event

	mu  sync.Mutex
	seq uint64 // the newest matching event
}

func newHub(conduct Conductor, read ci.EventReader, log *slog.Logger) *hub {
	return &hub{conduct: conduct, read: read, log: log, watchers: make(map[*watcher]struct{})}
}

// watch adds a watcher of the events after the given number. The caller must
// call leave.
func (h *hub) watch(ctx context.Context, after uint64, match func(ci.Event) bool) (*watcher, error) {
	w := &watcher{match: match, wake: make(chan struct{}, 1), seq: after}
	h.mu.Lock()
	if h.stop == nil {
		last, err := h.read.LastEvent(ctx)
		if err != nil {
			h.mu.Unlock()
			return nil, err
		}
		following, stop := context.WithCancel(context.Background())
		h.stop = stop
		go h.follow(following, last)
	}
	h.watchers[w] = struct{}{}
	h.mu.Unlock()
	// From here on the hub tells of new events; those before are looked up.
	if err := w.catchUp(ctx, h.read, after); err != nil {
		h.leave(w)
		return nil, err
	}
	return w, nil
}

// leave removes a watcher.
func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	if len(h.watchers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// follow tells the watchers of every event until ctx ends.
func (h *hub) follow(ctx context.Context, after uint64) {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		for e, err := range h.conduct.Follow(ctx, after) {
			if err != nil {
				if ctx.Err() == nil {
					h.log.Warn("follow events, will try again", "wait", wait, "err", err)
				}
				break
			}
			after, wait = e.Seq, 100*time.Millisecond
			h.tell(e)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (h *hub) tell(e ci.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if w.match(e) {
			w.note(e.Seq)
		}
	}
}

// catchUpEvents bounds how many events are looked through for one watcher;
// one that is further behind is simply woken.
const catchUpEvents = 1000

// catchUp wakes the watcher if something it looks at happened after the given
// number.
func (w *watcher) catchUp(ctx context.Context, read ci.EventReader, after uint64) error {
	n := 0
	for e, err := range read.Events(ctx, after) {
		if err != nil {
			return err
		}
		if n++; n > catchUpEvents {
			break
		}
		if w.match(e) {
			w.note(e.Seq)
		}
	}
	if n <= catchUpEvents {
		return nil
	}
	last, err := read.LastEvent(ctx)
	if err != nil {
		return err
	}
	w.note(last)
	return nil
}

func (w *watcher) note(seq uint64) {
	w.mu.Lock()
	w.seq = max(w.seq, seq)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// last returns the number of the newest matching event.
func (w *watcher) last() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seq
}
