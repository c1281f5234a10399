package storage

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
)

// pack writes the object.
func (l *Logs) pack(ctx context.Context, id handoutID, h *hotFile) (*sealedLog, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	zw, err := newEncoder()
	if err != nil {
		return nil, err
	}
	defer zw.Close()
	key := sealedKey(id)
	w, err := l.cfg.Bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream", DisableContentTypeDetection: true,
		BufferSize: 1 << 20, MaxConcurrency: 1,
	})
	if err != nil {
		return nil, err
	}
	p := &packer{
		w: w, zw: zw, log: &sealedLog{key: key, blocks: map[int][]block{}}, parts: map[int][]byte{},
	}
	if err := p.pack(h); err != nil {
		cancel() // so that closing does not make the object
		_ = w.Close()
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return p.log, nil
}

// A packer makes a sealed log of a hot file in one pass.
type packer struct {
	w     *blob.Writer
	zw    *zstd.Encoder
	log   *sealedLog
	order []int // the step of each block
	pos   int64
	parts map[int][]byte // of each step: what is not yet in a block
	held  int            // bytes in parts
	spare []byte         // for the next part
	buf   []byte
}

func (p *packer) pack(h *hotFile) error {
	_, _, _, start, err := readHead(h.f, h.size)
	if err != nil {
		return err
	}
	err = scan(h.f, h.seed, start, h.size, func(f frame, payload []byte) error {
		if f.kind != kindData {
			return nil
		}
		if size := p.log.size(f.step) + int64(len(p.parts[f.step])); size != f.offset {
			return fmt.Errorf("step %d goes on at %d instead of %d: %w", f.step, f.offset, size, ErrCorrupt)
		}
		return p.add(f.step, payload)
	})
	if err != nil {
		return fmt.Errorf("hot file: %w", err)
	}
	if err := p.flushAll(); err != nil {
		return err
	}
	for step, s := range h.streams {
		if p.log.size(step) != s.size {
			return fmt.Errorf("hot file has %d bytes of step %d instead of %d: %w", p.log.size(step), step, s.size, ErrCorrupt)
		}
	}
	_, err = p.w.Write(appendSealed(p.log, p.order))
	return err
}

// add takes more of a step's stream.
func (p *packer) add(step int, data []byte) error {
	for len(data) > 0 {
		part, ok := p.parts[step]
		if !ok {
			part, p.spare = p.spare, nil
		}
		n := min(len(data), blockSize-len(part))
		p.parts[step] = append(part, data[:n]...)
		p.held += n
		data = data[n:]
		if len(part)+n == blockSize {
			if err := p.flush(step); err != nil {
				return err
			}
		}
	}
	if p.held > sealBuffer {
		return p.flushAll()
	}
	return nil
}

// flush writes what is held of a step as a block.
func (p *packer) flush(step int) error {
	part := p.parts[step]
	p.buf = p.zw.EncodeAll(part, p.buf[:0])
	if _, err := p.w.Write(p.buf); err != nil {
		return err
	}
	p.order = append(p.order, step)
	p.pos = p.log.add(step, block{
		pos: p.pos, raw: len(part), size: len(p.buf), sum: crc32.Checksum(part, castagnoli),
	})
	p.held -= len(part)
	delete(p.parts, step)
	p.spare = part[:0]
	return nil
}

func (p *packer) flushAll() error {
	for step, part := range p.parts {
		if len(part) > 0 {
			if err := p.flush(step); err != nil {
				return err
			}
		}
	}
	return nil
}
