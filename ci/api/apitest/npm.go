// Package apitest gives tests the clients that others publish on npm, so that
// what Rondo serves is tried with programs it has no say in. It is for tests
// only and never runs a package's install scripts.
package apitest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Npm installs what the package.json and package-lock.json in folder ask
// for and returns the folder that holds node_modules. It is shared by all runs
// on this machine with the same lock file. A machine without node or npm, or
// without a way to the registry, skips the test; under CI=true it fails it.
//
// A lock file is made with
//
//	npm install --package-lock-only --omit-lockfile-registry-resolved
func Npm(t testing.TB, folder string) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			lack(t, "%s is not installed", tool)
		}
	}
	sum := sha256.New()
	files := map[string][]byte{}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
		fmt.Fprintf(sum, "%d\n%s", len(text), text)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	home := filepath.Join(cache, "rondo-apitest", fmt.Sprintf("%x", sum.Sum(nil)[:12]))
	if _, err := os.Stat(home); err == nil {
		return home
	}
	if err := install(home, files); err != nil {
		lack(t, "%v", err)
	}
	return home
}

// install installs beside home and renames, so that home is whole or absent.
func install(home string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(home), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(work, name), text, 0o644); err != nil {
			return err
		}
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = work
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(work, home); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(home); there != nil { // another test was first
			return err
		}
	}
	return nil
}

// lack ends the test for something that the machine does not have.
func lack(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
