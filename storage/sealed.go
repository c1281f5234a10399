package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sort"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/rondo-ci/rondo/ci"
)

// A sealed log is one object: blocks, an index of them, and a tail of
// sealedTail bytes. A block is at most blockSize bytes of one stream as a
// zstd frame of its own, so that any part can be read without the rest. The
// tail has the length of the index, its CRC-32C, and sealedMagic.
const (
	blockSize   = 128 << 10
	sealedTail  = 20
	sealedMagic = "rondolg1"
	sealedHint  = 32 << 10 // read at the end at once: most indexes and tails
)

// A block is where a part of a stream lies in a sealed log.
type block struct {
	off  int64  // in the stream
	pos  int64  // in the object
	raw  int    // bytes of the stream
	size int    // bytes in the object
	sum  uint32 // CRC-32C of the bytes of the stream
}

// A sealedLog is the index of a sealed log.
type sealedLog struct {
	key    string
	blocks map[int][]block
}

// size returns the size of a step's stream.
func (s *sealedLog) size(step int) int64 {
	b := s.blocks[step]
	if len(b) == 0 {
		return 0
	}
	last := b[len(b)-1]
	return last.off + int64(last.raw)
}

// add takes note of the next block of a step and returns where it ends.
func (s *sealedLog) add(step int, b block) int64 {
	b.off = s.size(step)
	s.blocks[step] = append(s.blocks[step], b)
	return b.pos + int64(b.size)
}

// sealedKey returns the name of the object.
func sealedKey(id handoutID) string {
	return "logs/" + escapePart(string(id.task)) + "/" + strconv.FormatInt(id.epoch, 10) + ".zst"
}

// openSealed reads the index of a sealed log; nil if there is none.
func (l *Logs) openSealed(ctx context.Context, id handoutID) (*sealedLog, error) {
	key := sealedKey(id)
	attrs, err := l.cfg.Bucket.Attributes(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tail, err := readRange(ctx, l.cfg.Bucket, key, max(0, attrs.Size-sealedHint), min(attrs.Size, sealedHint))
	if err != nil {
		return nil, err
	}
	n, err := sealedIndexSize(tail, attrs.Size)
	if err != nil {
		return nil, fmt.Errorf("sealed log %s: %w", key, err)
	}
	if n > int64(len(tail)) {
		if tail, err = readRange(ctx, l.cfg.Bucket, key, attrs.Size-n, n); err != nil {
			return nil, err
		}
	}
	s, err := parseSealed(tail[int64(len(tail))-n:], attrs.Size-n)
	if err != nil {
		return nil, fmt.Errorf("sealed log %s: %w", key, err)
	}
	s.key = key
	return s, nil
}

func (l *Logs) deleteSealed(ctx context.Context, id handoutID) error {
	if l.cfg.Bucket == nil {
		return nil
	}
	err := l.cfg.Bucket.Delete(ctx, sealedKey(id))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return err
}

// readRange reads a part of an object that is known to be there.
func readRange(ctx context.Context, b *blob.Bucket, key string, pos, size int64) ([]byte, error) {
	r, err := b.NewRangeReader(ctx, key, pos, size, nil)
	if err != nil {
		return nil, err
	}
	p := make([]byte, size)
	_, err = io.ReadFull(r, p)
	return p, errors.Join(err, r.Close())
}

// sealedIndexSize returns how long index and tail of an object are, given how
// it ends.
func sealedIndexSize(tail []byte, size int64) (int64, error) {
	if len(tail) < sealedTail || string(tail[len(tail)-len(sealedMagic):]) != sealedMagic {
		return 0, ErrCorrupt
	}
	n := binary.LittleEndian.Uint64(tail[len(tail)-sealedTail:])
	if n > uint64(size-sealedTail) || n > maxEnd {
		return 0, ErrCorrupt
	}
	return int64(n) + sealedTail, nil
}

// appendSealed writes index and tail. order has the steps of the blocks in the
// order of the object.
func appendSealed(s *sealedLog, order []int) []byte {
	next := map[int]int{}
	b := binary.AppendUvarint(nil, uint64(len(order)))
	for _, step := range order {
		blk := s.blocks[step][next[step]]
		next[step]++
		b = binary.AppendUvarint(b, uint64(step))
		b = binary.AppendUvarint(b, uint64(blk.raw))
		b = binary.AppendUvarint(b, uint64(blk.size))
		b = binary.AppendUvarint(b, uint64(blk.sum))
	}
	n, sum := len(b), crc32.Checksum(b, castagnoli)
	b = binary.LittleEndian.AppendUint64(b, uint64(n))
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, sealedMagic...)
}

// parseSealed reads what appendSealed wrote for an object whose blocks end at
// limit.
func parseSealed(b []byte, limit int64) (*sealedLog, error) {
	b, tail := b[:len(b)-sealedTail], b[len(b)-sealedTail:]
	if crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(tail[8:]) {
		return nil, ErrCorrupt
	}
	s := &sealedLog{blocks: map[int][]block{}}
	r := varints{b: b}
	pos := int64(0)
	for range r.next(uint64(len(b))) {
		step := int(r.next(maxStep))
		blk := block{
			pos: pos, raw: int(r.next(blockSize)), size: int(r.next(uint64(limit - pos))),
			sum: uint32(r.next(math.MaxUint32)),
		}
		if r.bad || blk.raw == 0 {
			return nil, ErrCorrupt
		}
		pos = s.add(step, blk)
	}
	if r.bad || len(r.b) > 0 || pos != limit {
		return nil, ErrCorrupt
	}
	return s, nil
}

// A sealedReader reads one stream of a sealed log forward. The zero value is
// ready.
type sealedReader struct {
	src  *blob.Reader
	pos  int64  // of the next byte of src in the object
	off  int64  // of data in the stream
	data []byte // the block that was read last
	raw  []byte
}

// read reads up to len(p) bytes, at least one, that the stream has at off.
func (r *sealedReader) read(ctx context.Context, l *Logs, s *sealedLog, step int, off int64, p []byte) (int, error) {
	if off < r.off || off >= r.off+int64(len(r.data)) {
		blocks := s.blocks[step]
		i := sort.Search(len(blocks), func(i int) bool { return blocks[i].off > off }) - 1
		if err := r.load(ctx, l, s.key, blocks[i:]); err != nil {
			return 0, fmt.Errorf("sealed log: %w", err)
		}
	}
	return copy(p, r.data[off-r.off:]), nil
}

// load reads the first of the blocks.
func (r *sealedReader) load(ctx context.Context, l *Logs, key string, blocks []block) (err error) {
	first := blocks[0]
	if r.src == nil || r.pos != first.pos {
		if err := r.close(); err != nil {
			return err
		}
		run := first.size // with all that follow without a break
		for i, b := range blocks[1:] {
			if b.pos != blocks[i].pos+int64(blocks[i].size) {
				break
			}
			run += b.size
		}
		if r.src, err = l.cfg.Bucket.NewRangeReader(ctx, key, first.pos, int64(run), nil); err != nil {
			return missing(err)
		}
		r.pos = first.pos
	}
	r.raw = grow(r.raw[:0], first.size)
	n, err := io.ReadFull(r.src, r.raw)
	r.pos += int64(n)
	if err != nil {
		return err
	}
	zr, err := l.decoder()
	if err != nil {
		return err
	}
	data, err := zr.DecodeAll(r.raw, r.data[:0])
	if err != nil || len(data) != first.raw || crc32.Checksum(data, castagnoli) != first.sum {
		r.data = nil
		return errors.Join(ErrCorrupt, err)
	}
	r.data, r.off = data, first.off
	return nil
}

func (r *sealedReader) close() error {
	if r.src == nil {
		return nil
	}
	err := r.src.Close()
	r.src = nil
	return err
}

// missing makes the bucket's word for a missing object that of ci.
func missing(err error) error {
	if gcerrors.Code(err) == gcerrors.NotFound {
		return fmt.Errorf("%w", ci.ErrNotFound)
	}
	return err
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(2*blockSize), zstd.IgnoreChecksum(true))
}

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(blockSize),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
}
