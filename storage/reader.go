package storage

import (
	"context"
	"fmt"
	"io"

	"github.com/rondo-ci/rondo/ci"
)

// A reader reads one stream, wherever it is at the moment.
type reader struct {
	logs   *Logs
	ctx    context.Context // of the call that the reader serves
	h      *handout        // pinned
	key    ci.LogKey
	off    int64
	limit  int64 // where Read ends
	cursor point // of the frame that holds off, or one before it
	sealed sealedReader
	closed bool
}

func (l *Logs) open(ctx context.Context, key ci.LogKey, offset int64) (*reader, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("offset %d: %w", offset, ci.ErrInvalid)
	}
	h, err := l.acquire(handoutID{key.Task, key.Epoch})
	if err != nil {
		return nil, err
	}
	defer l.release(h)
	l.pin(h)
	return &reader{logs: l, ctx: ctx, h: h, key: key, off: offset}, nil
}

// Read reads on, up to the limit.
func (r *reader) Read(p []byte) (n int, err error) {
	if r.closed {
		return 0, errClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.off >= r.limit {
		return 0, io.EOF
	}
	v, err := r.view(false)
	if err == nil {
		defer r.done()
		n, err = r.read(v, p[:min(int64(len(p)), r.limit-r.off)])
	}
	if err != nil {
		return n, keyError("read", r.key, err)
	}
	return n, nil
}

// Close gives up what the reader holds. Twice is no error.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.logs.unpin(r.h)
	return r.sealed.close()
}

// next returns the next chunk, waiting for it, or io.EOF when there is no more.
func (r *reader) next() ([]byte, error) {
	for {
		v, err := r.view(true)
		if err != nil {
			return nil, err
		}
		if v.size > r.off {
			defer r.done()
			p := make([]byte, min(followChunk, v.size-r.off))
			n, err := r.read(v, p)
			return p[:n], err
		}
		r.done()
		if v.over {
			return nil, io.EOF
		}
		select {
		case <-v.more:
		case <-r.logs.done:
			return nil, errClosed
		case <-r.ctx.Done():
			return nil, context.Cause(r.ctx)
		}
	}
}

// A view is what a reader can see at one moment. The handout is in use until
// it is given back with done.
type view struct {
	size   int64 // of the stream
	over   bool  // it does not grow any more
	file   file  // of the hot file
	start  point // a frame in it from which on to look for the reader's offset
	synced int64 // of the hot file
	sealed *sealedLog
	more   <-chan struct{} // closed when there is more to see
}

// view looks at the stream.
func (r *reader) view(wait bool) (view, error) {
	if err := context.Cause(r.ctx); err != nil {
		return view{}, err
	}
	l, h := r.logs, r.h
	select {
	case <-l.done:
		return view{}, errClosed
	default:
	}
	l.mu.Lock()
	l.use(h)
	l.mu.Unlock()
	v := view{}
	err := l.ready(r.ctx, h, false)
	if err == nil {
		v = h.view(r.key.Step, r.off, wait)
		if r.off > v.size {
			err = fmt.Errorf("offset %d is beyond the end, which is %d: %w", r.off, v.size, ci.ErrInvalid)
		}
	}
	if err != nil {
		l.release(h)
	}
	return v, err
}

func (r *reader) done() { r.logs.release(r.h) }

// view returns what is to be seen of a step's stream.
func (h *handout) view(step int, off int64, wait bool) view {
	h.mu.Lock()
	defer h.mu.Unlock()
	var v view
	switch {
	case h.sealed != nil:
		v.sealed, v.size, v.over = h.sealed, h.sealed.size(step), true
	case h.hot != nil:
		s := h.hot.stream(step)
		v.file, v.size, v.over, v.synced = h.hot.f, s.durable, h.hot.ending(), h.hot.synced
		v.start = s.find(off)
	}
	if wait && !v.over && v.size <= off {
		if h.watch == nil {
			h.watch = map[int]chan struct{}{}
		}
		if h.watch[step] == nil {
			h.watch[step] = make(chan struct{})
		}
		v.more = h.watch[step]
	}
	return v
}

// read reads up to len(p) bytes, at least one; the stream has that many.
func (r *reader) read(v view, p []byte) (n int, err error) {
	if v.sealed != nil {
		n, err = r.sealed.read(r.ctx, r.logs, v.sealed, r.key.Step, r.off, p)
	} else {
		if v.start.pos > r.cursor.pos || r.cursor.off > r.off {
			r.cursor = v.start
		}
		n, err = r.readHot(v, p)
	}
	r.off += int64(n)
	return n, err
}

// readHot reads from the hot file: it walks from frame to frame, through a
// window on the file, and moves the cursor along.
func (r *reader) readHot(v view, p []byte) (n int, err error) {
	buf := r.logs.bufs.Get().(*[]byte)
	defer r.logs.bufs.Put(buf)
	var win []byte // what lies in the file from at on
	var at int64
	for n < len(p) {
		pos := r.cursor.pos
		if pos < at || pos+frameHead > at+int64(len(win)) {
			size := min(v.synced-pos, int64(len(p)-n)+4*frameHead, followChunk)
			if size < frameHead {
				return n, fmt.Errorf("position %d of the hot file: %w", pos, io.ErrUnexpectedEOF)
			}
			*buf = grow((*buf)[:0], int(size))
			win, at = *buf, pos
			if err := readFull(v.file, win, at); err != nil {
				return n, err
			}
		}
		f, ok := parseHead(win[pos-at:], pos)
		if !ok || f.end() > v.synced {
			return n, fmt.Errorf("position %d of the hot file: %w", pos, errTorn)
		}
		off := r.off + int64(n)
		if f.kind == kindData && f.step == r.key.Step && f.offset <= off && off < f.offset+int64(f.length) {
			skip := off - f.offset
			part := p[n:min(len(p), n+f.length-int(skip))]
			from := pos + frameHead + skip
			if from+int64(len(part)) <= at+int64(len(win)) {
				copy(part, win[from-at:])
			} else if err := readFull(v.file, part, from); err != nil {
				return n, err
			}
			n += len(part)
			r.cursor.off = f.offset
			if off+int64(len(part)) < f.offset+int64(f.length) {
				break // p is full, and the frame holds more
			}
		}
		r.cursor = point{off: r.off + int64(n), pos: f.end()}
	}
	return n, nil
}
