package main

import (
	"testing"

	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/stretchr/testify/require"
)

func TestSettingsOfTheExecutor(t *testing.T) {
	const base = "url: https://ci.example.com\ndata: /x\n"
	s, err := parseSettings([]byte(base))
	require.NoError(t, err)
	require.Empty(t, s.Executor.docker().Host, "jobs are processes of this machine")
	s, err = parseSettings([]byte(base + "executor: {docker: {}}\n"))
	require.NoError(t, err)
	require.Equal(t, worker.LocalEngine, s.Executor.docker().Host)
	s, err = parseSettings([]byte(base + "executor: {docker: {host: 'unix:///x.sock', pull: always, deny: [10.0.0.0/8]}}\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"--docker=unix:///x.sock", "--docker-pull=always", "--docker-deny=10.0.0.0/8"}, s.Executor.docker().Args())
	for _, wrong := range []string{"{pull: never}", "{deny: [x]}", "{privileged: true}"} {
		_, err := parseSettings([]byte(base + "executor: {docker: " + wrong + "}\n"))
		require.Error(t, err, wrong)
	}
}
