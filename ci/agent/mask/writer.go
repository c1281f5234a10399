package mask

import (
	"io"
	"unsafe"
)

// A Writer masks a stream. It holds back what may be the beginning of a secret
// until the next write decides. It is not safe for concurrent use.
type Writer struct {
	set *Set
	to  io.Writer
	// held is what has not been decided. Its first shown bytes have been
	// written already: because the stream was idle, or as part of a mask.
	held  []byte
	shown int
}

// Writer returns a writer that masks what it writes to w.
func (s *Set) Writer(w io.Writer) *Writer { return &Writer{set: s, to: w} }

// Write writes what is decided of p and what was held. It keeps no reference
// to p, and fails only if the writer behind it does.
func (w *Writer) Write(p []byte) (int, error) {
	if w.set.empty() || len(p) == 0 {
		return w.to.Write(p)
	}
	text := p
	if len(w.held) > 0 {
		w.held = append(w.held, p...)
		text = w.held
	}
	done, err := w.scan(text, false)
	if err != nil {
		return 0, err
	}
	w.held = append(w.held[:0], text[done:]...)
	return len(p), nil
}

// Waits reports whether text is held that [Writer.Idle] would write.
func (w *Writer) Waits() bool { return len(w.held) > w.shown && len(w.held) < minLength }

// Idle writes held text that is too short to give a secret away. Call it when
// the stream has been silent for a while, so that a lone letter or a prompt
// does not stay invisible. If the text turns out to be the beginning of a
// secret after all, the rest of that is masked.
func (w *Writer) Idle() error {
	if !w.Waits() {
		return nil
	}
	_, err := w.to.Write(w.held[w.shown:])
	w.shown = len(w.held)
	return err
}

// Close decides and writes what is held, at the end of the stream. The
// beginning of a secret is written as it is, unless it is more than half of
// the secret: that is masked. Close does not close the writer behind it.
func (w *Writer) Close() error {
	if len(w.held) == 0 {
		return nil
	}
	text := w.held
	w.held = nil
	_, err := w.scan(text, true)
	return err
}

// scan writes what is decided and returns how much of the text that is.
func (w *Writer) scan(text []byte, last bool) (int, error) {
	s := unsafe.String(unsafe.SliceData(text), len(text)) // read here and not kept
	plain := w.shown
	w.shown = 0
	flush := func(to int) error {
		if to <= plain {
			return nil
		}
		_, err := w.to.Write(text[plain:to])
		return err
	}
	for i := 0; i < len(text); {
		i = w.set.skip(s, i)
		if i >= len(text) {
			break
		}
		end, open := w.set.match(s, i)
		if open && last {
			if rest := len(text) - i; end < len(text) && rest >= minLength && 2*rest > w.set.longest(s[i:]) && w.set.longest(s[i:]) > 0 {
				end = len(text)
			}
		}
		switch {
		case open && !last:
			if err := flush(i); err != nil {
				return i, err
			}
			if end-i > longStretch {
				return w.cut(s, i, end)
			}
			w.shown = max(plain-i, 0)
			return i, nil
		case end == i:
			i++
		default:
			if err := flush(i); err != nil {
				return i, err
			}
			if end > plain {
				if _, err := io.WriteString(w.to, Text); err != nil {
					return end, err
				}
			}
			i, plain = end, max(plain, end)
		}
	}
	return len(text), flush(len(text))
}

// longStretch is how long a stretch of overlapping secrets may get before it is
// written without waiting for its end.
const longStretch = 64 << 10

// cut masks the stretch text[i:end] and returns where in it the text begins
// that has still to be held.
func (w *Writer) cut(text string, i, end int) (int, error) {
	for i++; i < end; i++ {
		if _, open := w.set.at(text, i); open {
			break
		}
	}
	w.shown = end - i
	_, err := io.WriteString(w.to, Text)
	return i, err
}

// skip returns the first position from i on where a secret may begin.
func (s *Set) skip(text string, i int) int {
	if len(text)-i < minLength {
		return i
	}
	head := uint32(text[i])<<8 | uint32(text[i+1])<<16 | uint32(text[i+2])<<24
	for ; i+3 < len(text); i++ {
		head = head>>8 | uint32(text[i+3])<<24
		h := hash(head)
		if s.filter[h>>6]&(1<<(h&63)) != 0 {
			return i
		}
	}
	return i
}
