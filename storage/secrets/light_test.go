package secrets_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoVaultClient shows that who imports this package alone does not get the
// client of Vault.
func TestNoVaultClient(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	list.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod")
	out, err := list.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "gocloud.dev/secrets")
	require.NotContains(t, string(out), "hashicorp")
}
