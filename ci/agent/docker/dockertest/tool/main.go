// Command tool is the agent's tool and nothing else, for tests.
package main

import (
	"os"

	"github.com/rondo-ci/rondo/ci/agent/tool"
)

func main() {
	os.Exit(tool.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
