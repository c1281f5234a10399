package local

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// A fingerprint is the state of the files and folders that change whenever a
// reference does: git writes a reference by renaming a file into place, which
// changes its folder; the packed references and the list of tables of the
// reftable format are each one file that is replaced.
type fingerprint map[string]stamp

// A stamp is what stat says of a file.
type stamp struct {
	mtime time.Time
	size  int64
	dir   bool
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.ModTime(), info.Size(), info.IsDir()} }

// takePrint takes the fingerprint of the repository. The folders are those of
// the last one; they are listed anew only when one of them has changed.
func takePrint(r *Repo, last fingerprint) fingerprint {
	now := make(fingerprint, len(last)+4)
	add := func(path string) {
		info, err := os.Stat(path)
		if err == nil {
			now[path] = stampOf(info)
		}
	}
	for path, s := range last {
		if s.dir {
			add(path)
		}
	}
	add(filepath.Join(r.gitDir, "HEAD"))
	add(filepath.Join(r.common, "refs", "heads"))
	add(filepath.Join(r.common, "refs", "tags"))
	add(filepath.Join(r.common, "packed-refs"))
	add(filepath.Join(r.common, "reftable", "tables.list"))
	if last != nil && now.same(last) {
		return now
	}
	for _, root := range []string{"heads", "tags"} {
		_ = filepath.WalkDir(filepath.Join(r.common, "refs", root), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				add(path)
			}
			return nil // what cannot be read now is read at the next audit
		})
	}
	return now
}

func (f fingerprint) same(o fingerprint) bool {
	return maps.EqualFunc(f, o, func(a, b stamp) bool {
		return a.mtime.Equal(b.mtime) && a.size == b.size && a.dir == b.dir
	})
}

// racy reports whether something changed so lately that a further change might
// bear the same time.
func (f fingerprint) racy(now time.Time) bool {
	for _, s := range f {
		if age := now.Sub(s.mtime); age < racy && age > -racy {
			return true
		}
	}
	return false
}
