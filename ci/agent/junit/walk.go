package junit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/archive"
)

// maxTests is how many test cases [Walk] returns at most.
const maxTests = 250_000

// Walk reads the file of that name, or all files ending in .xml below the
// directory of that name. The source of a test is the sub-directory its file
// is in, or the name of the directory itself. A file that cannot be read or
// parsed is passed to skipped, which may be nil, and left out. Only a name
// that does not exist is an error, [fs.ErrNotExist].
func Walk(name string, skipped func(file string, why error)) ([]ci.Test, error) {
	if skipped == nil {
		skipped = func(string, error) {}
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read test results %s: %w", name, cause(err))
	}
	if !info.IsDir() {
		tests, err := file(name, filepath.Base(filepath.Dir(name)))
		if err != nil {
			skipped(name, err)
		}
		return tests, nil
	}
	var tests []ci.Test
	err = filepath.WalkDir(name, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			skipped(p, cause(err))
			return nil
		case !d.Type().IsRegular() || !strings.EqualFold(filepath.Ext(p), ".xml"):
			return nil
		}
		source := filepath.Base(name)
		if rel, err := filepath.Rel(name, p); err == nil {
			if first, _, ok := strings.Cut(filepath.ToSlash(rel), "/"); ok {
				source = path.Base(first)
			}
		}
		found, err := file(p, source)
		if err != nil {
			skipped(p, err)
		}
		if room := maxTests - len(tests); len(found) > room {
			skipped(p, fmt.Errorf("more than %d tests in all: %d are left out", maxTests, len(found)-room))
			found = found[:room]
		}
		tests = append(tests, found...)
		return nil
	})
	return tests, err
}

// file reads one document.
func file(name, source string) ([]ci.Test, error) {
	f, _, err := archive.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Parse(f, source)
}

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
