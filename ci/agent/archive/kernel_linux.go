package archive

import (
	"os"

	"golang.org/x/sys/unix"
)

// isKernel reports whether the file is one of procfs or sysfs.
func isKernel(f *os.File) bool {
	var s unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &s) != nil {
		return false
	}
	return s.Type == unix.PROC_SUPER_MAGIC || s.Type == unix.SYSFS_MAGIC
}
