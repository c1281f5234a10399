package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// A Source is a file or a directory with all below it.
type Source struct {
	Path string // on disk
	Name string // in the archive: relative, with slashes; "" or "." puts what is in a directory at the top
}

// Pack writes the sources as one archive. Sources that overlap give one entry
// per name. What is neither file, directory nor symbolic link is left out and
// passed to skipped, which may be nil. A source that does not exist, a file
// that cannot be read, and more than the limits are errors.
func Pack(ctx context.Context, w io.Writer, sources []Source, limits Limits, skipped func(path string, why error)) (Stats, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return Stats{}, fmt.Errorf("pack: %w", err)
	}
	if skipped == nil {
		skipped = func(string, error) {}
	}
	p := &packer{
		tar: tar.NewWriter(z), limits: limits.withDefaults(), skipped: skipped,
		done: map[string]bool{}, buf: make([]byte, 128<<10),
	}
	for _, s := range sources {
		if err := p.add(ctx, s); err != nil {
			_ = z.Close()
			return p.stats, fmt.Errorf("pack %s: %w", s.Path, err)
		}
	}
	if err := errors.Join(p.tar.Close(), z.Close()); err != nil {
		return p.stats, fmt.Errorf("pack: %w", err)
	}
	return p.stats, nil
}

type packer struct {
	tar     *tar.Writer
	limits  Limits
	stats   Stats
	skipped func(string, error)
	done    map[string]bool
	buf     []byte
}

// add packs one source.
func (p *packer) add(ctx context.Context, s Source) error {
	return filepath.WalkDir(s.Path, func(file string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			if file != s.Path && errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			return err
		}
		rel, err := filepath.Rel(s.Path, file)
		if err != nil {
			return err
		}
		name := path.Join(s.Name, filepath.ToSlash(rel))
		if name == "." || p.done[name] {
			return nil
		}
		p.done[name] = true
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return p.entry(file, name, info)
	})
}

// entry packs one file, directory or link.
func (p *packer) entry(file, name string, info fs.FileInfo) error {
	h := &tar.Header{
		Name: name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX,
	}
	var err error
	switch info.Mode().Type() {
	case 0:
		return p.file(file, h)
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case fs.ModeSymlink:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(file); err != nil {
			return err
		}
	default:
		p.skipped(file, fmt.Errorf("is a %s", kind(info.Mode())))
		return nil
	}
	return p.header(h)
}

func (p *packer) header(h *tar.Header) error {
	if p.stats.Entries++; p.stats.Entries > p.limits.Entries {
		return fmt.Errorf("more than %d files", p.limits.Entries)
	}
	if p.stats.Bytes += h.Size; p.stats.Bytes > p.limits.Bytes {
		return fmt.Errorf("more than %d bytes", p.limits.Bytes)
	}
	return p.tar.WriteHeader(h)
}

// file packs a regular file, as long as it was when it was opened: what is
// written to it meanwhile is cut off or filled with zeros.
func (p *packer) file(file string, h *tar.Header) error {
	f, info, err := openEntry(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer f.Close()
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := p.header(h); err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{p.tar}, io.LimitReader(f, h.Size), p.buf)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if n < h.Size {
		p.skipped(file, errors.New("got shorter while it was read; its end is zeros"))
		_, err = io.CopyN(onlyWriter{p.tar}, zeros{}, h.Size-n)
	}
	return err
}

// onlyWriter hides ReadFrom, so that CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// kind names a type of file for people.
func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	case m.IsDir():
		return "directory"
	}
	return "special file"
}
