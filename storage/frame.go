package storage

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A hot file is a row of frames. A frame is a header of frameHead bytes and
// a payload:
//
//	0  checksum  uint32  CRC-32C of everything after it, seeded by the nonce
//	4  kind      uint32
//	8  step      uint32
//	12 length    uint32  of the payload
//	16 offset    uint64  of the payload in the step's stream
//
// The first frame is the head: a nonce of nonceSize random bytes and then the
// hand-out's name. All later checksums are seeded with the nonce, so output
// that imitates frames is never taken for one. The last frame of a hand-out
// that has ended is the end: an index of the file, and in its last endTail
// bytes the position of the frame and the nonce again, so that the end can be
// found without reading the file.
const (
	frameHead = 24
	nonceSize = 16
	endTail   = 8 + nonceSize

	maxHead = 64 << 10  // payload of a head frame
	maxEnd  = 256 << 20 // payload of an end frame
)

type frameKind uint32

const (
	kindHead frameKind = 1
	kindData frameKind = 2
	kindEnd  frameKind = 3
)

// errTorn says that there is no whole frame where one was looked for.
var errTorn = errors.New("no whole frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A frame is the header of a frame and where it stands.
type frame struct {
	kind   frameKind
	step   int
	length int
	offset int64
	pos    int64 // of the header in the file
}

// end returns the position behind the frame.
func (f frame) end() int64 { return f.pos + frameHead + int64(f.length) }

// A seed is the state of the checksum that a file's nonce leads to.
type seed uint32

func newNonce() []byte {
	b := make([]byte, nonceSize)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return b
}

func seedOf(nonce []byte) seed { return seed(crc32.Checksum(nonce, castagnoli)) }

// put appends the frame with the payload to dst.
func (s seed) put(dst []byte, f frame, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, frameHead)...)
	h := dst[at:]
	binary.LittleEndian.PutUint32(h[4:], uint32(f.kind))
	binary.LittleEndian.PutUint32(h[8:], uint32(f.step))
	binary.LittleEndian.PutUint32(h[12:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(h[16:], uint64(f.offset))
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[at:], s.sum(dst[at:]))
	return dst
}

// sum returns the checksum of a whole frame.
func (s seed) sum(whole []byte) uint32 {
	return crc32.Update(uint32(s), castagnoli, whole[4:])
}

// parseHead reads a frame header that stands at pos, and says whether its
// fields can be true. The checksum is not looked at.
func parseHead(h []byte, pos int64) (frame, bool) {
	step := binary.LittleEndian.Uint32(h[8:])
	length := binary.LittleEndian.Uint32(h[12:])
	offset := binary.LittleEndian.Uint64(h[16:])
	f := frame{
		kind: frameKind(binary.LittleEndian.Uint32(h[4:])),
		pos:  pos, step: int(step), length: int(length), offset: int64(offset),
	}
	switch f.kind {
	case kindHead:
		return f, step == 0 && offset == 0 && length >= nonceSize && length <= maxHead
	case kindData:
		return f, step <= maxStep && length > 0 && length <= MaxAppend && offset <= maxOffset
	case kindEnd:
		return f, step == 0 && offset == 0 && length >= endTail && length <= maxEnd
	}
	return f, false
}

// readFrame reads the whole frame at pos of a file of the given size into buf
// (grown as needed) and checks it. It returns errTorn when there is none.
func readFrame(r io.ReaderAt, s seed, pos, size int64, buf []byte) (frame, []byte, error) {
	if size-pos < frameHead {
		return frame{}, buf, errTorn
	}
	buf = grow(buf, frameHead)
	if err := readFull(r, buf, pos); err != nil {
		return frame{}, buf, err
	}
	f, ok := parseHead(buf, pos)
	if !ok || f.end() > size {
		return frame{}, buf, errTorn
	}
	buf = grow(buf, frameHead+f.length)
	if err := readFull(r, buf[frameHead:], pos+frameHead); err != nil {
		return frame{}, buf, err
	}
	if s.sum(buf) != binary.LittleEndian.Uint32(buf) {
		return frame{}, buf, errTorn
	}
	return f, buf, nil
}

// grow returns a slice of length n that begins with what buf held.
func grow(buf []byte, n int) []byte {
	if n <= cap(buf) {
		return buf[:n]
	}
	next := make([]byte, n, max(n, 2*cap(buf)))
	copy(next, buf)
	return next
}

// readFull reads all of p at pos.
func readFull(r io.ReaderAt, p []byte, pos int64) error {
	n, err := r.ReadAt(p, pos)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// putHead returns the first frame of a hand-out's file, and its seed.
func putHead(name, nonce []byte) ([]byte, seed) {
	payload := append(bytes.Clone(nonce), name...)
	return seed(0).put(nil, frame{kind: kindHead}, payload), seedOf(nonce)
}

// readHead reads the first frame of a file: the seed of the others, the nonce,
// the name, and where the next frame stands.
func readHead(r io.ReaderAt, size int64) (s seed, nonce []byte, name string, next int64, err error) {
	f, buf, err := readFrame(r, 0, 0, size, nil)
	if err != nil {
		return 0, nil, "", 0, err
	}
	if f.kind != kindHead {
		return 0, nil, "", 0, errTorn
	}
	payload := buf[frameHead:]
	return seedOf(payload[:nonceSize]), payload[:nonceSize], string(payload[nonceSize:]), f.end(), nil
}

// readEnd returns the index in the end frame of a file, or errTorn when the
// file has no end.
func readEnd(r io.ReaderAt, s seed, nonce []byte, size int64) ([]byte, frame, error) {
	var tail [endTail]byte
	if size < endTail {
		return nil, frame{}, errTorn
	}
	if err := readFull(r, tail[:], size-endTail); err != nil {
		return nil, frame{}, err
	}
	pos := int64(binary.LittleEndian.Uint64(tail[:]))
	if !bytes.Equal(tail[8:], nonce) || pos < 0 || pos > size-frameHead-endTail {
		return nil, frame{}, errTorn
	}
	f, buf, err := readFrame(r, s, pos, size, nil)
	if err != nil {
		return nil, frame{}, err
	}
	if f.kind != kindEnd || f.end() != size {
		return nil, frame{}, errTorn
	}
	return buf[frameHead : len(buf)-endTail], f, nil
}

// putEnd returns the end frame with the index, to stand at pos.
func putEnd(s seed, nonce, index []byte, pos int64) ([]byte, error) {
	if len(index) > maxEnd-endTail {
		return nil, fmt.Errorf("index of %d bytes is too large", len(index))
	}
	payload := binary.LittleEndian.AppendUint64(bytes.Clone(index), uint64(pos))
	payload = append(payload, nonce...)
	return s.put(nil, frame{kind: kindEnd}, payload), nil
}
