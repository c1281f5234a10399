package forgetest_test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/forge/forgetest"
)

// TestUse is how a test of one's own uses the fake: with the network, clones
// and all.
func TestUse(t *testing.T) {
	fake := forgetest.NewGitHub(t)
	repo := fake.Repo("acme/shop")
	sha := repo.Push("main", "second", map[string]string{"hello.txt": "hello"})

	resp, err := http.Get(fake.URL() + "/api/v3/repos/acme/shop/commits/" + sha)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)

	dir := filepath.Join(t.TempDir(), "clone")
	out, err := exec.Command("git", "-c", "protocol.http.allow=always", "clone", "--quiet", fake.URL()+"/acme/shop.git", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	require.FileExists(t, filepath.Join(dir, "hello.txt"))
}
