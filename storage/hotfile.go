package storage

import (
	"errors"
	"fmt"
	"slices"
	"sort"
)

// pointEvery is how many bytes of the hot file lie at least between two points
// of one stream. It bounds both what an index costs in memory and how far a
// reader has to look for the next frame of its stream.
const pointEvery = 64 << 10

// A point says that the frame of a stream that begins with offset off stands
// at pos.
type point struct{ off, pos int64 }

// A stream is what is known of one step's output in a hot file.
type stream struct {
	size    int64 // written
	durable int64 // written, and sure to survive
	end     int64 // position behind its last frame
	points  []point
}

// add takes note of a frame that follows what is known.
func (s *stream) add(f frame) {
	if n := len(s.points); n == 0 || f.pos-s.points[n-1].pos >= pointEvery {
		s.points = append(s.points, point{f.offset, f.pos})
	}
	s.size += int64(f.length)
	s.end = f.end()
}

// find returns a position from which the frame that holds offset off is at
// most pointEvery bytes away, not counting that frame's own.
func (s *stream) find(off int64) point {
	i := sort.Search(len(s.points), func(i int) bool { return s.points[i].off > off })
	if i == 0 {
		return point{}
	}
	return s.points[i-1]
}

// A mark says that a stream has a size once the file is synced up to end.
type mark struct {
	step      int
	size, end int64
}

// A hotFile is the file that a hand-out's output is first written to, and its
// index. Its owner keeps calls apart with a lock.
type hotFile struct {
	f     file // nil while closed
	disk  disk
	name  string
	owner string // whose output it is

	seed    seed
	nonce   []byte
	size    int64 // written, whole frames
	synced  int64 // of it, sure to survive
	named   bool  // the name in the folder is sure to survive too
	ended   bool  // the end frame is written
	streams map[int]*stream
	marks   []mark
	// broken is why nothing more may be acknowledged. After a failed fsync
	// nobody knows what of the file the disk has.
	broken error
}

// createHot makes the file. Its head is written with the first frame.
func createHot(d disk, name, owner string) (*hotFile, error) {
	f, err := d.create(name)
	if err != nil {
		return nil, err
	}
	nonce := newNonce()
	return &hotFile{
		f: f, disk: d, name: name, owner: owner,
		nonce: nonce, seed: seedOf(nonce), streams: map[int]*stream{},
	}, nil
}

// stream returns the state of a step's stream; that of one without output is
// not kept.
func (h *hotFile) stream(step int) *stream {
	if s := h.streams[step]; s != nil {
		return s
	}
	return &stream{}
}

// append writes one frame of a stream, which must follow what is there. When
// it fails nothing has changed. buf is scratch space, returned for reuse.
func (h *hotFile) append(step int, data, buf []byte) ([]byte, error) {
	buf = h.begin(buf)
	s := h.stream(step)
	f := frame{
		kind: kindData, step: step, length: len(data),
		offset: s.size, pos: h.size + int64(len(buf)),
	}
	buf = h.seed.put(buf, f, data)
	if err := h.write(buf); err != nil {
		return buf, err
	}
	s.add(f)
	h.streams[step] = s
	h.marks = append(h.marks, mark{step, s.size, h.size})
	return buf, nil
}

// finish writes the end frame: no more output comes.
func (h *hotFile) finish() error {
	buf := h.begin(nil)
	end, err := putEnd(h.seed, h.nonce, appendIndex(nil, h.streams), h.size+int64(len(buf)))
	if err != nil {
		return err
	}
	if err := h.write(append(buf, end...)); err != nil {
		return err
	}
	h.ended = true
	return nil
}

// begin returns what has to be written before the next frame: the head, in an
// empty file.
func (h *hotFile) begin(buf []byte) []byte {
	if h.size > 0 {
		return buf[:0]
	}
	head, _ := putHead([]byte(h.owner), h.nonce)
	return append(buf[:0], head...)
}

// write appends p to the file, or leaves it as it was.
func (h *hotFile) write(p []byte) error {
	if h.broken != nil {
		return h.broken
	}
	if _, err := h.f.WriteAt(p, h.size); err != nil {
		if err := h.f.Truncate(h.size); err != nil {
			h.broken = fmt.Errorf("cut off half a write: %w", err)
		}
		return err
	}
	h.size += int64(len(p))
	return nil
}

// publish takes note that the file is synced up to size, and calls visit for
// every step that thereby has more durable output.
func (h *hotFile) publish(size int64, visit func(step int)) {
	h.synced, h.named = max(h.synced, size), true
	n := 0
	for _, m := range h.marks {
		if m.end > h.synced {
			break
		}
		h.streams[m.step].durable = m.size
		visit(m.step)
		n++
	}
	h.marks = slices.Delete(h.marks, 0, n)
}

// fail takes note that a sync did not succeed. What was not known to be
// durable is cut off as far as possible: the kernel may have dropped it while
// the file still reads as if it were there.
func (h *hotFile) fail(err error) {
	h.broken = fmt.Errorf("sync: %w", err)
	h.marks = nil
	if terr := h.f.Truncate(h.synced); terr != nil {
		h.broken = errors.Join(h.broken, terr)
	}
}

// ending says whether the end is written and sure to survive.
func (h *hotFile) ending() bool { return h.ended && h.synced == h.size }
