package orb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// maxFile is the size of the largest file that is read, in bytes.
const maxFile = 8 << 20

// A Dir is a folder with one file per version of an orb, either flat,
// ns__name@1.2.3.yml, or in a folder per namespace, ns/name@1.2.3.yml. A
// development version is in name@dev:label.yml, with the colon written as _
// or ~ where the file system has none; whatever else is not a version number is
// a label too. The zero Dir is empty. A Dir reads its
// folder at the first use and keeps the list; the files are read each time.
// All methods are safe for concurrent use.
type Dir struct {
	files fs.FS

	once sync.Once
	list map[string]map[string]string // ns/name -> version -> path
	err  error
}

// Folder returns the orbs in a folder of the file system. A folder that does
// not exist has no orbs.
func Folder(dir string) *Dir { return FS(os.DirFS(dir)) }

// FS returns the orbs in a file system, for example one embedded in a program.
func FS(files fs.FS) *Dir { return &Dir{files: files} }

// Orb returns the source of the orb that ref names and the exact reference
// that was chosen. A reference of the wrong form is [ci.ErrInvalid], an orb or
// version that is not there [ci.ErrNotFound].
func (d *Dir) Orb(ctx context.Context, ref string) (resolved string, source []byte, err error) {
	r, err := Parse(ref)
	if err != nil {
		return "", nil, err
	}
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	d.once.Do(d.read)
	if d.err != nil {
		return "", nil, fmt.Errorf("list orbs: %w", d.err)
	}
	versions := d.list[r.Name]
	if len(versions) == 0 {
		return "", nil, fmt.Errorf("orb %s: %w", r.Name, ci.ErrNotFound)
	}
	known := make([]string, 0, len(versions))
	for v := range versions {
		known = append(known, v)
	}
	version, ok := r.Choose(known)
	if !ok {
		return "", nil, fmt.Errorf("version %s of orb %s: %w", r.Version, r.Name, ci.ErrNotFound)
	}
	source, err = d.file(versions[version])
	if err != nil {
		return "", nil, fmt.Errorf("read orb %s@%s: %w", r.Name, version, err)
	}
	return r.Name + "@" + version, source, nil
}

// Refs returns the exact references of all orbs in the folder, sorted by name
// and version.
func (d *Dir) Refs() ([]string, error) {
	d.once.Do(d.read)
	if d.err != nil {
		return nil, fmt.Errorf("list orbs: %w", d.err)
	}
	var out []string
	for name, versions := range d.list {
		for v := range versions {
			out = append(out, name+"@"+v)
		}
	}
	sortRefs(out)
	return out, nil
}

// file reads one file, up to a limit.
func (d *Dir) file(name string) ([]byte, error) {
	info, err := fs.Stat(d.files, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than %d: %w", name, info.Size(), maxFile, ci.ErrInvalid)
	}
	return fs.ReadFile(d.files, name)
}

// read lists the folder and the folders in it.
func (d *Dir) read() {
	d.list = make(map[string]map[string]string)
	if d.files == nil {
		return
	}
	entries, err := fs.ReadDir(d.files, ".")
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.err = err
		}
		return
	}
	for _, e := range entries {
		if !e.IsDir() {
			if ns, rest, ok := strings.Cut(e.Name(), "__"); ok {
				d.add(ns, rest, e.Name())
			}
			continue
		}
		inner, err := fs.ReadDir(d.files, e.Name())
		if err != nil {
			continue // not ours to read
		}
		for _, f := range inner {
			if !f.IsDir() {
				d.add(e.Name(), f.Name(), path.Join(e.Name(), f.Name()))
			}
		}
	}
}

// add notes a file called name@version.yml. Others are not orbs.
func (d *Dir) add(ns, file, at string) {
	base, ok := strings.CutSuffix(file, ".yml")
	if !ok {
		if base, ok = strings.CutSuffix(file, ".yaml"); !ok {
			return
		}
	}
	name, version, ok := strings.Cut(base, "@")
	if !ok || version == "" {
		return
	}
	for _, prefix := range []string{"dev_", "dev~", "dev%3A"} {
		if label, ok := strings.CutPrefix(version, prefix); ok {
			version = "dev:" + label
		}
	}
	if !releasePattern.MatchString(version) && !strings.HasPrefix(version, "dev:") {
		version = "dev:" + version
	}
	if !releasePattern.MatchString(version) && !devPattern.MatchString(version) {
		return
	}
	full := ns + "/" + name
	if !validName(full) {
		return
	}
	if d.list[full] == nil {
		d.list[full] = make(map[string]string)
	}
	d.list[full][version] = at
}
