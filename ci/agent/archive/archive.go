// Package archive packs files into a tar compressed with zstd and unpacks them
// again, trusting neither side.
//
// What is packed: regular files, directories and symbolic links, with their
// permission bits and times of change. What is unpacked stays below the roots
// it is given, whatever the archive says: extraction goes through [os.Root],
// so neither names nor links lead out, and devices, pipes and sockets are
// refused. Owners and the set-user-ID bits are not kept.
package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// ErrBad says that an archive is damaged, hostile or larger than allowed: as
// opposed to a fault of the disk it is read from or unpacked to.
var ErrBad = errors.New("bad archive")

// Limits bound what an archive may hold, so that a small one cannot fill a
// disk. A field that is 0 has the default.
type Limits struct {
	Bytes   int64 // of all files together; 0 is 64 GiB
	Entries int   // files, directories and links; 0 is 4 million
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 64 << 30
	}
	if l.Entries == 0 {
		l.Entries = 4_000_000
	}
	return l
}

// Stats count what was packed or unpacked.
type Stats struct {
	Entries int
	Bytes   int64 // of the files, uncompressed
}

// An Entry is one file of an archive.
type Entry struct {
	Name string // clean, relative, with slashes
	Dir  bool
	Link string // where a symbolic link points
	Size int64
}

// reader yields the entries of an archive after checking them.
type reader struct {
	tar    *tar.Reader
	zstd   *zstd.Decoder
	limits Limits
	stats  Stats
}

func newReader(r io.Reader, limits Limits) (*reader, error) {
	var first [1]byte
	if _, err := io.ReadFull(r, first[:]); err != nil { // zstd takes nothing for an empty archive
		return nil, fmt.Errorf("open archive: %w: %w", ErrBad, io.ErrUnexpectedEOF)
	}
	r = io.MultiReader(bytes.NewReader(first[:]), r)
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, fmt.Errorf("open archive: %w: %w", ErrBad, err)
	}
	return &reader{tar: tar.NewReader(z), zstd: z, limits: limits.withDefaults()}, nil
}

func (r *reader) close() { r.zstd.Close() }

// next returns the next header with a clean name, or io.EOF.
func (r *reader) next() (*tar.Header, error) {
	for {
		h, err := r.tar.Next()
		if err == io.EOF {
			// The frame's checksum stands behind the tar's end.
			if _, err := io.Copy(io.Discard, r.zstd); err != nil {
				return nil, bad(err)
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, bad(err)
		}
		if r.stats.Entries++; r.stats.Entries > r.limits.Entries {
			return nil, fmt.Errorf("%w: more than %d entries", ErrBad, r.limits.Entries)
		}
		name, err := clean(h.Name)
		if err != nil {
			return nil, err
		}
		h.Name = name
		switch h.Typeflag {
		case tar.TypeReg:
			if r.stats.Bytes += h.Size; h.Size < 0 || r.stats.Bytes > r.limits.Bytes {
				return nil, fmt.Errorf("%w: more than %d bytes", ErrBad, r.limits.Bytes)
			}
		case tar.TypeDir, tar.TypeSymlink:
		case tar.TypeLink:
			if h.Linkname, err = clean(h.Linkname); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%w: %s: type %q is not allowed", ErrBad, name, h.Typeflag)
		}
		return h, nil
	}
}

// bad marks an error of decoding, unless it is one of reading.
func bad(err error) error { return fmt.Errorf("%w: %w", ErrBad, err) }

// clean returns the name without its trailing slash, or an error if it leads
// out of the root.
func clean(name string) (string, error) {
	c := path.Clean(name)
	switch {
	case name == "", strings.ContainsRune(name, 0):
		return "", fmt.Errorf("%w: name %q is not allowed", ErrBad, name)
	case path.IsAbs(name), c == "..", strings.HasPrefix(c, "../"):
		return "", fmt.Errorf("%w: name %q leads out of the archive", ErrBad, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: name %q leads out of the archive", ErrBad, name)
		}
	}
	return c, nil
}

// List reads a whole archive, checks it, and passes every entry to visit,
// which may be nil. Nothing is written. An error of visit ends it.
func List(r io.Reader, limits Limits, visit func(Entry) error) (Stats, error) {
	in, err := newReader(r, limits)
	if err != nil {
		return Stats{}, err
	}
	defer in.close()
	for {
		h, err := in.next()
		if err == io.EOF {
			return in.stats, nil
		}
		if err != nil {
			return in.stats, fmt.Errorf("list archive: %w", err)
		}
		if visit == nil {
			continue
		}
		e := Entry{Name: h.Name, Dir: h.Typeflag == tar.TypeDir, Size: h.Size}
		if h.Typeflag == tar.TypeSymlink {
			e.Link = h.Linkname
		}
		if err := visit(e); err != nil {
			return in.stats, err
		}
	}
}
