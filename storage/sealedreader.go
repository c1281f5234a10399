package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/rondo-ci/rondo/ci"
)

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
