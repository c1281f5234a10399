package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSkeleton(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("precious"), 0o644))
	for name, c := range map[string]struct {
		mess func(dir string) error
		ok   bool
	}{
		"nothing":       {func(string) error { return nil }, true},
		"files":         {func(d string) error { return os.MkdirAll(d+"/home/project/a/b", 0o700) }, true},
		"written":       {func(d string) error { return os.WriteFile(d+"/env", []byte("X=1"), 0o600) }, true},
		"link to file":  {func(d string) error { return os.Symlink(outside, d+"/home/project/x") }, true},
		"link to dir":   {func(d string) error { return os.Symlink(filepath.Dir(outside), d+"/home/y") }, true},
		"removed":       {func(d string) error { return os.RemoveAll(d + "/home/project") }, false},
		"mode":          {func(d string) error { return os.Chmod(d+"/home", 0o777) }, false},
		"home is link":  {func(d string) error { return swap(d+"/home", filepath.Dir(outside)) }, false},
		"env is link":   {func(d string) error { return swap(d+"/env", outside) }, false},
		"other target":  {func(d string) error { return swap(d+"/tool", "/bin/false") }, false},
		"hard link":     {func(d string) error { return hardLink(d+"/env", outside) }, false},
		"env is folder": {func(d string) error { _ = os.Remove(d + "/env"); return os.Mkdir(d+"/env", 0o644) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.MkdirAll(dir+"/home/project", 0o755))
			require.NoError(t, os.WriteFile(dir+"/env", nil, 0o644))
			require.NoError(t, os.Symlink("/bin/true", dir+"/tool"))
			s, err := skeletonOf(dir)
			require.NoError(t, err)
			require.NoError(t, c.mess(dir))
			err = s.restore(dir)
			require.Equal(t, c.ok, err == nil, "%v", err)
			if c.ok {
				again, err := skeletonOf(dir)
				require.NoError(t, err)
				require.Equal(t, s, again)
				info, err := os.Stat(dir + "/env")
				require.NoError(t, err)
				require.Zero(t, info.Size())
			}
			kept, err := os.ReadFile(outside)
			require.NoError(t, err)
			require.Equal(t, "precious", string(kept))
		})
	}
}

// swap puts a link in the place of a file or folder.
func swap(path, target string) error {
	_ = os.RemoveAll(path)
	return os.Symlink(target, path)
}

// hardLink gives a file of the outside a second name.
func hardLink(path, target string) error {
	_ = os.Remove(path)
	return os.Link(target, path)
}
