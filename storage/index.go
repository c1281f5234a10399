package storage

import (
	"encoding/binary"
	"errors"
)

// appendIndex writes what is known of the streams: their number, and for each
// the step, the size, the end of its last frame and its points, each as the
// difference from the one before.
func appendIndex(b []byte, streams map[int]*stream) []byte {
	b = binary.AppendUvarint(b, uint64(len(streams)))
	for step, s := range streams {
		b = binary.AppendUvarint(b, uint64(step))
		b = binary.AppendUvarint(b, uint64(s.size))
		b = binary.AppendUvarint(b, uint64(s.end))
		b = binary.AppendUvarint(b, uint64(len(s.points)))
		var last point
		for _, p := range s.points {
			b = binary.AppendUvarint(b, uint64(p.off-last.off))
			b = binary.AppendUvarint(b, uint64(p.pos-last.pos))
			last = p
		}
	}
	return b
}

// parseIndex reads what appendIndex wrote of a file whose data ends at limit.
func parseIndex(b []byte, limit int64) (map[int]*stream, error) {
	r := varints{b: b}
	streams := map[int]*stream{}
	for range r.next(uint64(len(b))) {
		step := int(r.next(maxStep))
		s := &stream{size: int64(r.next(maxOffset)), end: int64(r.next(uint64(limit)))}
		s.durable = s.size
		var last point
		for range r.next(uint64(len(b))) {
			last.off += int64(r.next(uint64(s.size - last.off)))
			last.pos += int64(r.next(uint64(limit - last.pos)))
			if r.bad {
				break
			}
			s.points = append(s.points, last)
		}
		if r.bad {
			break
		}
		streams[step] = s
	}
	if r.bad || len(r.b) > 0 {
		return nil, errors.New("is damaged")
	}
	return streams, nil
}

// varints reads unsigned integers.
type varints struct {
	b   []byte
	bad bool // something was missing or beyond its limit
}

// next returns the next integer, or 0 if there is none up to the limit.
func (r *varints) next(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
