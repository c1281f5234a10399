package main

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/cmd/internal/datadir"
)

// gatherLogs copies the hot logs of earlier terms into the folder of this one,
// and removes the old ones. They are copied, not moved: a server of an earlier
// term may still have them open, and write to them when it wakes up.
//
// A folder is removed when all of it is copied and on the disk, and nothing is
// added to the new one before that. So where this was interrupted, what the
// oldest folder has is right.
func gatherLogs(shared *datadir.Folder, term int64) error {
	to := shared.Join((&duty{term: term}).logs())
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	folders, err := earlierLogs(shared, term)
	if err != nil {
		return err
	}
	done := make(map[string]bool)
	for _, from := range folders {
		err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(from, path)
			switch {
			case err != nil || done[name]:
				return err
			case d.IsDir():
				return os.MkdirAll(filepath.Join(to, name), 0o700)
			case !d.Type().IsRegular() || strings.HasSuffix(name, copying):
				return nil
			}
			done[name] = true
			return copyFile(path, filepath.Join(to, name))
		})
		if err != nil {
			return err
		}
	}
	if err := errors.Join(syncFolder(to), syncFolder(shared.Path)); err != nil {
		return err
	}
	slices.Reverse(folders) // so that the oldest goes last
	for _, from := range folders {
		if err := os.RemoveAll(from); err != nil {
			return err
		}
	}
	return nil
}

// earlierLogs lists the folders of earlier terms, the oldest first.
func earlierLogs(shared *datadir.Folder, term int64) ([]string, error) {
	entries, err := os.ReadDir(shared.Path)
	if err != nil {
		return nil, err
	}
	terms := make(map[string]int64)
	var folders []string
	for _, e := range entries {
		number, found := strings.CutPrefix(e.Name(), logsFolder)
		if !found || !e.IsDir() {
			continue
		}
		n := int64(0) // of a server that was alone
		if number != "" {
			if n, err = strconv.ParseInt(strings.TrimPrefix(number, "-"), 10, 64); err != nil || n >= term {
				continue
			}
		}
		path := shared.Join(e.Name())
		terms[path] = n
		folders = append(folders, path)
	}
	slices.SortFunc(folders, func(a, b string) int { return cmp.Compare(terms[a], terms[b]) })
	return folders, nil
}

// copying ends the name of a file that is not complete.
const copying = ".copying"

// copyFile copies a file so that it is whole or not there.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+copying, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(to+copying, to); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
