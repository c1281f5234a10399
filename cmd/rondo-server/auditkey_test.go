package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAUD15_RotateKey changes the key of a server that is stopped, twice; the
// server goes on with the new one and its log verifies.
func TestAUD15_RotateKey(t *testing.T) {
	s, data := team(t, "")
	out, err := program(t, "audit", "rotate-key", "--data", data).CombinedOutput()
	require.Error(t, err, "it runs: %s", out)
	require.Equal(t, 0, s.stop(), s.errors())
	for n := range 2 {
		before, err := os.ReadFile(filepath.Join(data, auditPublic))
		require.NoError(t, err)
		require.Equal(t, n+1, strings.Count(string(before), "\n"))
		out, err := program(t, "audit", "rotate-key", "--data", data).CombinedOutput()
		require.NoError(t, err, string(out))
		after, err := os.ReadFile(filepath.Join(data, auditPublic))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(after), string(before)), "keys are only added")
	}
	token := s.Token
	s = start(t, program(t, "serve", "--json", "--config", filepath.Join(filepath.Dir(data), "rondo.yml")))
	s.Token = token
	code, body := s.call("GET", "/api/v2/rondo/audit/verify", "")
	require.Equal(t, 200, code, body)
	require.Contains(t, body, `"ok":true`)
	_, body = s.call("GET", "/api/v2/rondo/audit?action=rondo.audit.key.rotate", "")
	require.Equal(t, 2, strings.Count(body, `"action":"rondo.audit.key.rotate"`), body)
	require.Equal(t, 0, s.stop(), s.errors())
	out, err = program(t, "audit", "verify", "--data", data).CombinedOutput()
	require.NoError(t, err, string(out))
}
