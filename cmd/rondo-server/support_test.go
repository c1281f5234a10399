package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// unpack writes the files of a bundle into a folder.
func unpack(t *testing.T, bundle string) string {
	t.Helper()
	f, err := os.Open(bundle)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "for its owner only")
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), text, 0o600))
	}
}

// scan lets a scanner that others have written look for secrets, and says
// whether it has found any.
func scan(t *testing.T, dir string) bool {
	t.Helper()
	run := func(args ...string) (string, int) {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"secrets", "--register-aws"}, {"secrets", "--add", "gh[pousr]_[A-Za-z0-9]{36}"},
		{"secrets", "--add", "BEGIN .*PRIVATE KEY"}, {"secrets", "--add", "eyJ[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+"}, {"secrets", "--add", "://[^/: ]+:[^<@ ]+@"},
	} {
		out, code := run(args...)
		require.Zero(t, code, "%v: %s", args, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	out, code := run(append([]string{"secrets", "--scan", "--no-index"}, files...)...)
	t.Log(out)
	return code != 0
}

// A bundle has logs, health and settings, of a server that runs and of one that
// is down, and no secret that the installation knows or that looks like one.
func TestTRB07_SupportBundle(t *testing.T) {
	needsTool(t, "git-secrets")
	dir := serverDir(t)
	planted := []string{
		"gh" + "p_0123456789abcdefghijklmnopqrstuvwxyz", "AKI" + "AIOSFODNN7EXAMPL3", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYZZZZZZZKEY",
		"hunter22-of-the-database", "xk7-plain-secret-without-a-look", "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig-of-it", "MIIEowIBAAKCAQEA7planted",
	}
	text := fmt.Sprintf(`level=INFO msg="push" url=https://kim:%[4]s@git.example.com/x token=%[1]s
level=ERROR msg="upload" access_key=%[2]s aws_secret_access_key=%[3]s
level=INFO msg="they said %[5]s and no more"
Authorization: Bearer %[6]s
-----BEGIN RSA %[8]s-----
%[7]s
-----END RSA %[8]s-----
level=INFO msg="task claimed" task=0190.0
`, planted[0], planted[1], planted[2], planted[3], planted[4], planted[5], planted[6], "PRIVATE KEY")
	log := filepath.Join(dir, "old.log")
	require.NoError(t, os.WriteFile(log, []byte(text), 0o600))
	before := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(before, "log"), []byte(text), 0o600))
	require.True(t, scan(t, before), "the scanner sees what was planted")

	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte(planted[4]+"\n"), 0o600))
	s, file := teamAt(t, freeAddress(t), fmt.Sprintf("folders: [%s]\n# comment %s\nsecrets: {passphrase: \"file:%s\"}\n", newRepo(t, hello).dir, planted[0], secret))
	s.waitEnd(ci.WorkflowEnded, "main")
	token, err := os.ReadFile(filepath.Join(filepath.Dir(file), "data", "token"))
	require.NoError(t, err)
	all := append(planted, strings.TrimSpace(string(token)))
	look := func(more ...string) map[string]string {
		out := filepath.Join(dir, "b.tar.gz")
		said, err := program(t, append([]string{"support", "--config", file, "--out", out}, more...)...).CombinedOutput()
		require.NoError(t, err, "%s", said)
		at := unpack(t, out)
		require.False(t, scan(t, at))
		require.NoError(t, os.RemoveAll(filepath.Join(at, ".git")))
		files := map[string]string{}
		entries, err := os.ReadDir(at)
		require.NoError(t, err)
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(at, e.Name()))
			require.NoError(t, err)
			for _, p := range all {
				require.NotContains(t, string(text), p, e.Name())
			}
			files[e.Name()] = string(text)
		}
		return files
	}
	files := look("--log", log)
	require.Contains(t, files["log.txt"], "task claimed", "what the server remembers")
	require.Contains(t, files["log-old.log"], "task=0190.0", "the rest stays")
	require.Contains(t, files["health.json"], "picard-scheduler")
	require.Contains(t, files["settings.yml"], "file:"+secret, "where a secret is, is none")
	require.NotContains(t, files["settings.yml"], "comment")
	for _, name := range []string{"health.json", "nodes.json", "queue.json", "placements.json", "doctor.json", "manifest.json"} {
		require.True(t, json.Valid([]byte(files[name])), "%s: %s %s", name, files[name], files["manifest.json"])
	}
	code, _ := s.call("GET", logPath, "")
	require.Equal(t, 401, code, "who has no token does not read the log")

	require.Equal(t, 0, s.stop())
	files = look()
	require.Contains(t, files["manifest.json"], "the server does not run")
	require.NotEmpty(t, files["settings.yml"])
}
