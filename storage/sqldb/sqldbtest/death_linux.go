package sqldbtest

import "syscall"

// dieWithParent lets the kernel end the server when the test process ends.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }
