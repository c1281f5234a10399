package workshop

import "golang.org/x/sys/unix"

// KeepPrivate hides this process's environment and memory from other processes
// of the same user, as jobs on this machine are, and from core dumps.
func KeepPrivate() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
