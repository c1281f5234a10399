//go:build !linux

package warden

import (
	"fmt"
	"io"
)

// Main is the warden of Linux containers; elsewhere there is none.
func Main(_ string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "Error: this command is for Linux containers")
	return 2
}
