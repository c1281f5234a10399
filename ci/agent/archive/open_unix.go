//go:build unix

package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// OpenFile opens a regular file for reading, following symbolic links. It
// never blocks on a pipe, and refuses files that are windows into a process or
// the kernel (/proc), whose content is that of the reader and not of the job.
// Its errors do not repeat the path.
func OpenFile(path string) (*os.File, fs.FileInfo, error) { return open(path, 0) }

// openEntry is OpenFile for what a walk has found to be no link.
func openEntry(path string) (*os.File, fs.FileInfo, error) { return open(path, syscall.O_NOFOLLOW) }

func open(path string, flag int) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|flag, 0)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("is a %s, not a regular file", kind(info.Mode()))
	case isKernel(f):
		err = errors.New("belongs to the kernel's own file system")
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
