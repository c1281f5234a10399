//go:build linux

package warden_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rondo-ci/rondo/ci/agent/docker/warden"
)

// Nobody but the container's first process is listened to.
func ExampleAccept() {
	dir, err := os.MkdirTemp("", "warden-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "agent"), Net: "unix"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	_ = l.SetDeadline(time.Now().Add(time.Minute))
	caller, err := net.Dial("unix", filepath.Join(dir, "agent"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer caller.Close()
	_, err = warden.Accept(l, 1)
	fmt.Println(err != nil)
	// Output: true
}
