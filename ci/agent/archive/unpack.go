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
	"strings"
	"time"
)

// Unpack writes the files of an archive below the roots. The key of a root is
// the first element of the names that go there, without a slash; the root ""
// takes every other name as it is. A name that no root takes is [ErrBad].
//
// An existing file or link is replaced, never written through; an existing
// directory is kept. An error leaves behind what had been unpacked before it.
func Unpack(ctx context.Context, r io.Reader, roots map[string]*os.Root, limits Limits) (Stats, error) {
	in, err := newReader(r, limits)
	if err != nil {
		return Stats{}, err
	}
	defer in.close()
	u := &unpacker{in: in, roots: roots, made: map[string]bool{}, buf: make([]byte, 128<<10)}
	for {
		if err := ctx.Err(); err != nil {
			return in.stats, fmt.Errorf("unpack: %w", context.Cause(ctx))
		}
		h, err := in.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = u.entry(h)
		}
		if err != nil {
			return in.stats, fmt.Errorf("unpack: %w", err)
		}
	}
	u.finish()
	return in.stats, nil
}

type unpacker struct {
	in    *reader
	roots map[string]*os.Root
	made  map[string]bool // parents known to exist, by root name and path
	dirs  []dir
	buf   []byte
}

// dir is a directory whose mode and time are set at the end: files are yet to
// be put into it.
type dir struct {
	root *os.Root
	name string
	mode fs.FileMode
	time time.Time
}

// place returns the root for a name and the name below it.
func (u *unpacker) place(name string) (*os.Root, string, error) {
	first, rest, _ := strings.Cut(name, "/")
	if root, ok := u.roots[first]; ok && first != "" {
		if rest == "" {
			rest = "."
		}
		return root, rest, nil
	}
	if root, ok := u.roots[""]; ok {
		return root, name, nil
	}
	return nil, "", fmt.Errorf("%w: name %q belongs nowhere", ErrBad, name)
}

// entry unpacks one entry.
func (u *unpacker) entry(h *tar.Header) error {
	root, name, err := u.place(h.Name)
	if err != nil {
		return err
	}
	if err := u.write(root, name, h); err != nil {
		return u.judge(h.Name, err)
	}
	return nil
}

// judge tells an archive that tries to leave its root from a disk that fails.
func (u *unpacker) judge(name string, err error) error {
	if !errors.Is(err, ErrBad) && strings.Contains(err.Error(), "path escapes from parent") {
		err = fmt.Errorf("%w: %w", ErrBad, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (u *unpacker) write(root *os.Root, name string, h *tar.Header) error {
	mode := fs.FileMode(h.Mode) & fs.ModePerm
	if name == "." {
		return nil // the root itself exists already
	}
	if err := u.parents(root, path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.dir(root, name); err != nil {
			return err
		}
		u.dirs = append(u.dirs, dir{root, name, mode | 0o700, h.ModTime})
		return nil
	case tar.TypeSymlink:
		if err := remove(root, name); err != nil {
			return err
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		from, target, err := u.place(h.Linkname)
		if err != nil {
			return err
		}
		if from != root {
			return fmt.Errorf("%w: hard link to %q in another root", ErrBad, h.Linkname)
		}
		if i, err := root.Lstat(target); err != nil || !i.Mode().IsRegular() {
			return fmt.Errorf("%w: hard link to %q, which is no file", ErrBad, h.Linkname)
		}
		if target == name {
			return nil
		}
		if err := remove(root, name); err != nil {
			return err
		}
		return root.Link(target, name)
	}
	return u.file(root, name, mode, h)
}

// file unpacks a regular file.
func (u *unpacker) file(root *os.Root, name string, mode fs.FileMode, h *tar.Header) error {
	const create = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := root.OpenFile(name, create, mode)
	if errors.Is(err, fs.ErrExist) {
		if err = remove(root, name); err == nil {
			f, err = root.OpenFile(name, create, mode)
		}
	}
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{u.in.tar}, u.buf)
	if err != nil && !isDisk(err) {
		err = bad(err)
	}
	if err == nil && n != h.Size {
		err = fmt.Errorf("%w: %d bytes instead of %d", ErrBad, n, h.Size)
	}
	if err == nil {
		err = f.Chmod(mode) // the umask was in the way
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}

// isDisk reports whether an error is one of writing to a file.
func isDisk(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p)
}

// parents makes the directories above an entry.
func (u *unpacker) parents(root *os.Root, name string) error {
	key := root.Name() + "\x00" + name
	if name == "." || u.made[key] {
		return nil
	}
	if err := root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	u.made[key] = true
	return nil
}

// dir makes a directory unless there is one.
func (u *unpacker) dir(root *os.Root, name string) error {
	err := root.Mkdir(name, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	i, err := root.Lstat(name)
	if err != nil || i.IsDir() {
		return err
	}
	if i.Mode()&fs.ModeSymlink != 0 {
		if t, err := root.Stat(name); err == nil && t.IsDir() {
			return nil // a link to a directory inside the root
		}
	}
	if err := remove(root, name); err != nil {
		return err
	}
	return root.Mkdir(name, 0o755)
}

// remove removes a file or a link, but no directory that holds something.
func remove(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// finish sets the modes and times of the directories, the deepest first. A
// directory that was replaced meanwhile is left alone.
func (u *unpacker) finish() {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		d := u.dirs[i]
		if info, err := d.root.Lstat(d.name); err == nil && info.IsDir() {
			_ = d.root.Chmod(d.name, d.mode)
			_ = d.root.Chtimes(d.name, d.time, d.time)
		}
	}
}
