package storage

import (
	"errors"
	"io"
)

// scan calls visit for every frame from pos on with its payload, which is
// valid during the call. It returns errTorn when what is left is no frame.
func scan(r io.ReaderAt, s seed, pos, size int64, visit func(frame, []byte) error) error {
	var buf []byte
	win := &window{r: r, size: size}
	for pos < size {
		var f frame
		var err error
		if f, buf, err = readFrame(win, s, pos, size, buf); err != nil {
			return err
		}
		if err := visit(f, buf[frameHead:]); err != nil {
			return err
		}
		pos = f.end()
	}
	return nil
}

// findFrame says whether a whole frame begins anywhere from pos on.
func findFrame(r io.ReaderAt, s seed, pos, size int64) (bool, error) {
	var buf []byte
	win := &window{r: r, size: size}
	var head [frameHead]byte
	for ; pos <= size-frameHead; pos++ {
		if err := readFull(win, head[:], pos); err != nil {
			return false, err
		}
		if f, ok := parseHead(head[:], pos); !ok || f.end() > size {
			continue
		}
		var err error
		switch _, buf, err = readFrame(r, s, pos, size, buf); {
		case err == nil:
			return true, nil
		case !errors.Is(err, errTorn):
			return false, err
		}
	}
	return false, nil
}

// A window is a ReaderAt that reads ahead, for reading forward in small
// pieces.
type window struct {
	r    io.ReaderAt
	size int64
	pos  int64
	buf  []byte
}

func (w *window) ReadAt(p []byte, pos int64) (int, error) {
	if pos >= w.pos && pos+int64(len(p)) <= w.pos+int64(len(w.buf)) {
		return copy(p, w.buf[pos-w.pos:]), nil
	}
	n := min(256<<10, w.size-pos)
	if int64(len(p)) >= n {
		return w.r.ReadAt(p, pos)
	}
	w.buf, w.pos = grow(w.buf[:0], int(n)), pos
	if err := readFull(w.r, w.buf, pos); err != nil {
		w.buf = w.buf[:0]
		return 0, err
	}
	return copy(p, w.buf), nil
}
