package mask

import (
	"errors"
	"io"
	"unsafe"
)

// A Writer masks a stream: first what is written as it is, then what a
// terminal would show of it. It holds back what may be the beginning of a
// secret until the next write decides. It is not safe for concurrent use.
type Writer struct {
	to    io.Writer
	bytes filter // writes to shown
	shown filter
}

// Writer returns a writer that masks what it writes to w.
func (s *Set) Writer(w io.Writer) *Writer {
	m := &Writer{to: w}
	m.shown = filter{set: s, to: w, terminal: true}
	m.bytes = filter{set: s, to: &m.shown}
	return m
}

// Write writes what is decided of p and what was held. It keeps no reference
// to p, and fails only if the writer behind it does.
func (w *Writer) Write(p []byte) (int, error) {
	if w.bytes.set.empty() {
		return w.to.Write(p)
	}
	return w.bytes.Write(p)
}

// Waits reports whether text is held that [Writer.Idle] would write.
func (w *Writer) Waits() bool { return w.bytes.waits() || w.shown.waits() }

// Idle writes held text that is too short to give a secret away. Call it when
// the stream has been silent for a while, so that a lone letter or a prompt
// does not stay invisible. If the text turns out to be the beginning of a
// secret after all, the rest of that is masked.
func (w *Writer) Idle() error { return errors.Join(w.bytes.idle(), w.shown.idle()) }

// Close decides and writes what is held, at the end of the stream. The
// beginning of a secret is written as it is, unless it is more than half of
// the secret: that is masked. Close does not close the writer behind it.
func (w *Writer) Close() error { return errors.Join(w.bytes.close(), w.shown.close()) }

// A filter masks a stream: as it is, or as a terminal shows it.
type filter struct {
	set      *Set
	to       io.Writer
	terminal bool
	view     view
	buf      []byte // of the view
	mask     []byte // what stands in place of a secret, with what does not show
	// held is what has not been decided. Its first shown bytes have been
	// written already: because the stream was idle, or as part of a mask.
	held  []byte
	shown int
}

// Write implements [io.Writer].
func (w *filter) Write(p []byte) (int, error) {
	text, seen := p, 0
	switch {
	case len(w.held) > 0:
		w.held = append(w.held, p...)
		text = w.held
	case w.terminal && !concealing(p):
		// The filter before has seen the same. What is left to find is a
		// secret that this is the beginning of.
		seen = max(0, len(p)-w.set.longest+1)
	}
	done, err := w.scan(text, seen, false)
	if err != nil {
		return 0, err
	}
	w.held = append(w.held[:0], text[done:]...)
	return len(p), nil
}

func (w *filter) waits() bool { return len(w.held) > w.shown && len(w.held) < minLength }

func (w *filter) idle() error {
	if !w.waits() {
		return nil
	}
	_, err := w.to.Write(w.held[w.shown:])
	w.shown = len(w.held)
	return err
}

func (w *filter) close() error {
	text := w.held
	w.held = nil
	_, err := w.scan(text, 0, true)
	return err
}

// scan writes what is decided and returns how much of the text that is. In the
// first seen bytes no secret begins.
func (w *filter) scan(raw []byte, seen int, last bool) (int, error) {
	v := &w.view
	if w.terminal {
		w.buf = v.look(raw, w.buf)
	} else {
		v.plain(raw)
	}
	if last {
		v.open = len(raw)
	}
	s := unsafe.String(unsafe.SliceData(v.text), len(v.text)) // read here and not kept
	plain := w.shown                                          // what of raw has been written
	w.shown = 0
	flush := func(to int) error {
		if to <= plain {
			return nil
		}
		_, err := w.to.Write(raw[plain:to])
		return err
	}
	for i := seen; i < len(s); {
		if i = w.set.skip(s, i); i >= len(s) {
			break
		}
		end, open := w.set.match(s, i)
		if open && last && end < len(s) && w.set.mostOf(s[i:]) {
			end = len(s)
		}
		switch {
		case open && !last:
			at := v.at(i)
			if err := flush(at); err != nil {
				return at, err
			}
			if end-i > longStretch {
				return w.cut(v, s, i, end)
			}
			w.shown = max(plain-at, 0)
			return at, nil
		case end == i:
			i++
		default:
			if err := flush(v.at(i)); err != nil {
				return v.at(i), err
			}
			if to := v.behind(end); to > plain {
				w.mask = v.hidden(append(w.mask[:0], Text...), i, end)
				if _, err := w.to.Write(w.mask); err != nil {
					return to, err
				}
				plain = to
			}
			i = end
		}
	}
	if err := flush(v.open); err != nil {
		return v.open, err
	}
	w.shown = max(plain-v.open, 0)
	return v.open, nil
}

// mostOf reports whether the text, at the end of a stream, is the beginning of
// a secret and more than half of it.
func (s *Set) mostOf(text string) bool {
	n := s.longestOf(text)
	return n > 0 && 2*len(text) > n
}

// longStretch is how long a stretch of overlapping secrets may get before it is
// written without waiting for its end.
const longStretch = 64 << 10

// cut masks the stretch text[i:end] and returns where in it the text begins
// that has still to be held.
func (w *filter) cut(v *view, text string, i, end int) (int, error) {
	for i++; i < end; i++ {
		if _, open := w.set.at(text, i); open {
			break
		}
	}
	at := v.at(i)
	w.shown = max(v.behind(end)-at, 0)
	_, err := io.WriteString(w.to, Text)
	return at, err
}
