//go:build linux

package docker_test

import (
	"errors"
	"fmt"
	"os"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/docker"
)

// An executor is given to an agent in its Config. Engines elsewhere are refused,
// because steps and files are reached without the engine.
func ExampleNew() {
	_, err := docker.New(docker.Config{Host: "tcp://10.0.0.1:2375", Tool: os.Args[0]})
	fmt.Println(errors.Is(err, ci.ErrInvalid))
	// Output: true
}
