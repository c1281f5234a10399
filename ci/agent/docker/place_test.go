//go:build linux

package docker_test

import (
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/place/placetest"
)

func TestPlace(t *testing.T) {
	e := executor(t, nil)
	t.Run("root", func(t *testing.T) { placetest.Run(t, e, work(box)) })
	t.Run("user", func(t *testing.T) { placetest.Run(t, e, work(ci.Image{Image: "rondo-box:1", User: "circleci"})) })
	nothingLeft(t)
}
