//go:build !linux

package sqldbtest

import "syscall"

// dieWithParent has no way to do that here: Stop ends the server.
func dieWithParent(*syscall.SysProcAttr) {}
