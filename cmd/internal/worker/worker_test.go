package worker_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// What the server was told reaches its agents.
func TestArgsSayTheSame(t *testing.T) {
	for _, d := range []worker.Docker{
		{}, {Host: "unix:///run/x.sock"}, {Host: worker.LocalEngine, Pull: "always", Deny: []string{"10.0.0.0/8", "fd00::/8"}},
	} {
		var got worker.Docker
		flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
		got.AddFlags(flags)
		require.NoError(t, flags.Parse(d.Args()))
		require.NoError(t, got.Check())
		require.Equal(t, fmt.Sprint(d), fmt.Sprint(got))
	}
	var alone worker.Docker
	flags := pflag.NewFlagSet("dev", pflag.ContinueOnError)
	alone.AddFlags(flags)
	require.NoError(t, flags.Parse([]string{"--docker"}))
	require.Equal(t, worker.LocalEngine, alone.Host)
}

func TestCheck(t *testing.T) {
	require.ErrorContains(t, worker.Docker{Pull: "never"}.Check(), "neither missing nor always")
	require.ErrorContains(t, worker.Docker{Deny: []string{"10.0.0.1"}}.Check(), "is no network")
}

// Without an engine a job that names an image runs here, and is told so.
func TestWithoutEngineJobsRunHere(t *testing.T) {
	w, err := worker.New(host.New(host.Config{Dir: t.TempDir()}), worker.Docker{}, t.TempDir(), "")
	require.NoError(t, err)
	require.NoError(t, w.Ready(t.Context()))
	var work ci.Work
	work.Job.Executor = ci.Executor{Kind: ci.ExecutorDocker, Images: []ci.Image{{Image: "cimg/go:1.26"}}}
	p, err := w.Open(t.Context(), work, io.Discard)
	require.NoError(t, err)
	defer p.Close()
	require.Contains(t, strings.Join(p.Layout().Notes, "\n"), "the image is not used")
}
