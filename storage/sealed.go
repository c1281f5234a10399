package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
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
	if size == 0 { // S3 has no range in an empty object
		return nil, nil
	}
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
