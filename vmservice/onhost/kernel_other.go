//go:build !linux

package onhost

import (
	"errors"
	"os/exec"
)

// Only Linux has what machines are made of; [New] says so.
var errOther = errors.New("machines on this host need Linux")

type device struct {
	block        bool
	major, minor int32
}

func (g group) start(*exec.Cmd) error       { return errOther }
func (g group) allow([]device) error        { return errOther }
func (g group) plant(string, *device) error { return errOther }

func blockDevice(string) (device, error)       { return device{}, errOther }
func free(string) (left, all int64, err error) { return 0, 0, errOther }
func kernelVersion() string                    { return "" }
