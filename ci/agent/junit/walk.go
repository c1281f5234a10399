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

// Bounds of what [Walk] returns.
const (
	maxTests    = 250_000  // test cases
	maxText     = 64 << 20 // bytes of all names together
	maxMessages = 16 << 20 // bytes of all messages together
)

// Left is what stands for a message that is left out, because those before it
// were long.
const Left = "[left out: the messages of this job are too long]"

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
	room := budget{maxTests, maxText, maxMessages}
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
		n, why := room.take(found)
		if why != nil {
			skipped(p, why)
		}
		tests = append(tests, found[:n]...)
		return nil
	})
	return tests, err
}

// A budget is how much more Walk returns.
type budget struct{ tests, text, messages int }

// take returns how many of the tests fit in, and an error unless all do. A
// message that does not fit is replaced.
func (b *budget) take(found []ci.Test) (int, error) {
	for i := range found {
		t := &found[i]
		b.tests--
		b.text -= len(t.Name) + len(t.Classname) + len(t.File) + len(t.Source)
		if b.tests < 0 {
			return i, fmt.Errorf("more than %d tests in all: %d are left out", maxTests, len(found)-i)
		}
		if b.text < 0 {
			return i, fmt.Errorf("names of more than %d bytes in all: %d tests are left out", maxText, len(found)-i)
		}
		if b.messages -= len(t.Message); b.messages < 0 && t.Message != "" {
			t.Message = Left
		}
	}
	return len(found), nil
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
