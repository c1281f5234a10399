//go:build !linux

package docker

import (
	"context"
	"io"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// Open implements [place.Executor]. Only Linux has containers; [New] says so.
func (e *Executor) Open(context.Context, ci.Work, io.Writer) (place.Place, error) {
	return nil, invalid("jobs in containers need an agent on Linux")
}
