package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// A log that somebody has changed is found, while the server runs and when it
// is stopped; strangers ask in vain.
func TestP30_Fsck(t *testing.T) {
	r := newRepo(t, hello)
	s, data := team(t, "folders: ["+r.dir+"]\n")
	s.waitEnd(ci.WorkflowEnded, "main")
	code, found := s.call("GET", "/api/v2/rondo/fsck", "")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "{\"findings\":0}\n", found)
	right := s.Token
	s.Token = "nobody"
	code, _ = s.call("GET", "/api/v2/rondo/fsck", "")
	require.Equal(t, http.StatusUnauthorized, code)
	s.Token = right
	out, err := program(t, "fsck", "--data", data).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "use: rondo fsck")
	require.Equal(t, 0, s.stop(), s.errors())

	damaged := 0
	for _, dir := range []string{"logs", "files"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(data, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || damaged > 0 {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil || len(text) < 40 || filepath.Ext(path) == ".attrs" {
				return err
			}
			text[len(text)/2] ^= 0x55
			damaged++
			return os.WriteFile(path, text, 0o600)
		}))
	}
	require.Positive(t, damaged)
	out, err = program(t, "fsck", "--json", "--data", data).CombinedOutput()
	require.Error(t, err, string(out))
	require.Contains(t, string(out), `"code":"LOG`)
}
