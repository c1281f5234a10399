package secret_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
)

// sshKeygen runs the real tool.
func sshKeygen(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ssh-keygen is needed: install openssh-client")
		}
		t.Skip("ssh-keygen is not here: install openssh-client")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// made makes a key with the real tool and returns its private and its public half.
func made(t *testing.T, args ...string) (string, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	sshKeygen(t, append([]string{"-q", "-C", "comment", "-f", file}, args...)...)
	private, err := os.ReadFile(file)
	require.NoError(t, err)
	public, err := os.ReadFile(file + ".pub")
	require.NoError(t, err)
	return string(private), strings.TrimSuffix(strings.TrimSpace(string(public)), " comment")
}

// TestSEC04_DeployKey proves, with OpenSSH's own tool, that the two halves and
// the fingerprints belong together, and that the code host is told.
func TestSEC04_DeployKey(t *testing.T) {
	w := newWorld(t)
	k, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, alice)
	require.NoError(t, err)
	require.True(t, k.Preferred)
	require.Empty(t, k.Login)
	require.Equal(t, []string{"p-shop " + k.SHA256 + " true"}, w.told)

	_, keys, err := w.Resolve(w.ctx, ask(bob))
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, "SHA256:"+k.SHA256, keys[0].Fingerprint)
	require.Equal(t, k.MD5, keys[0].MD5)
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(keys[0].Private), 0o600))
	require.True(t, strings.HasPrefix(k.Public, "ssh-ed25519 "))
	require.True(t, strings.HasPrefix(sshKeygen(t, "-y", "-P", "", "-f", file), k.Public))
	require.Contains(t, sshKeygen(t, "-l", "-f", file), " SHA256:"+k.SHA256+" ")
	require.Contains(t, sshKeygen(t, "-l", "-E", "md5", "-f", file), " MD5:"+k.MD5+" ")

	require.NoError(t, w.DeleteKey(w.ctx, shop.ID, k.MD5, alice))
	require.Equal(t, "p-shop "+k.SHA256+" false", w.told[1])
	_, keys, err = w.Resolve(w.ctx, ask(bob))
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestPreferredKey(t *testing.T) {
	w := newWorld(t)
	create := func(kind ci.KeyKind) ci.Key {
		k, err := w.CreateKey(w.ctx, shop.ID, kind, alice)
		require.NoError(t, err)
		return k
	}
	list := func() (out []string) {
		keys, err := w.Keys(w.ctx, shop.ID)
		require.NoError(t, err)
		for i, k := range keys {
			out = append(out, k.SHA256)
			require.Equal(t, i == 0 && k.Kind != ci.KeyAdditional, k.Preferred)
		}
		return out
	}
	one, two, three := create(ci.KeyDeploy), create(ci.KeyDeploy), create(ci.KeyUser)
	require.Equal(t, "alice", three.Login)
	private, _ := made(t, "-t", "ed25519", "-N", "")
	extra, err := w.AddKey(w.ctx, shop.ID, "", private, alice)
	require.NoError(t, err)
	require.Equal(t, []string{three.SHA256, one.SHA256, two.SHA256, extra.SHA256}, list())
	require.NoError(t, w.DeleteKey(w.ctx, shop.ID, "SHA256:"+three.SHA256, alice))
	require.Equal(t, []string{two.SHA256, one.SHA256, extra.SHA256}, list())
	require.NoError(t, w.DeleteKey(w.ctx, shop.ID, one.SHA256+"=", alice))
	require.Equal(t, []string{two.SHA256, extra.SHA256}, list())
	require.NoError(t, w.DeleteKey(w.ctx, shop.ID, "md5:"+two.MD5, alice))
	require.Equal(t, []string{extra.SHA256}, list())
	require.ErrorIs(t, w.DeleteKey(w.ctx, shop.ID, two.MD5, alice), ci.ErrNotFound)
	require.ErrorIs(t, w.DeleteKey(w.ctx, shop.ID, "", alice), ci.ErrNotFound)
	require.Len(t, w.told, 6, "of added keys the code host hears nothing")
}

func TestAddedKeys(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{{"-t", "ed25519"}, {"-t", "rsa", "-b", "2048"}, {"-t", "rsa", "-b", "2048", "-m", "PEM"}, {"-t", "ecdsa", "-m", "PKCS8"}} {
		private, public := made(t, append(args, "-N", "")...)
		k, err := w.AddKey(w.ctx, shop.ID, "git.example.com", private, alice)
		require.NoError(t, err, args)
		require.Equal(t, public, k.Public)
		require.Equal(t, ci.KeyAdditional, k.Kind)
		_, err = w.AddKey(w.ctx, shop.ID, "other.example.com", strings.ReplaceAll(private, "\n", "\r\n"), alice)
		require.ErrorIs(t, err, ci.ErrConflict)
		_, err = w.AddKey(w.ctx, tools.ID, "", private, alice)
		require.NoError(t, err, "another project may have it too")
		_, keys, err := w.Resolve(w.ctx, ask(bob))
		require.NoError(t, err)
		require.Equal(t, private, keys[len(keys)-1].Private)
		require.Equal(t, "git.example.com", keys[len(keys)-1].Host)
	}
	locked, _ := made(t, "-t", "ed25519", "-N", "passphrase")
	whole, _ := made(t, "-t", "ed25519", "-N", "")
	for private, want := range map[string]string{
		locked: "has a passphrase", "": "no private key", "canary": "no private key", whole[:200]: "no private key",
		strings.Repeat("canary", 11000): "more than 32768",
	} {
		_, err := w.AddKey(w.ctx, shop.ID, "", private, alice)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "canary")
	}
	for _, host := range []string{"a b", "-oProxyCommand=x", "a\nHost *", `a"b`, "a#b", "ä", strings.Repeat("a", 254)} {
		_, err := w.AddKey(w.ctx, shop.ID, host, whole, alice)
		require.ErrorIs(t, err, ci.ErrInvalid, host)
	}
	_, err := w.AddKey(w.ctx, "nope", "", whole, alice)
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = w.Keys(w.ctx, "nope")
	require.ErrorIs(t, err, ci.ErrNotFound)
	_, err = w.CreateKey(w.ctx, shop.ID, ci.KeyAdditional, alice)
	require.ErrorIs(t, err, ci.ErrInvalid)
}

// If the code host refuses, nothing has changed here.
func TestCodeHostRefuses(t *testing.T) {
	w := newWorld(t)
	k, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, alice)
	require.NoError(t, err)
	boom := errors.New("boom")
	w.broken["codehost"] = boom
	_, err = w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, alice)
	require.ErrorIs(t, err, boom)
	require.ErrorIs(t, w.DeleteKey(w.ctx, shop.ID, k.MD5, alice), boom)
	require.Equal(t, []string{"project.checkout_key.create ", "project.checkout_key.create false", "project.checkout_key.delete ", "project.checkout_key.delete false"}, w.last(4))
	keys, err := w.Keys(w.ctx, shop.ID)
	require.NoError(t, err)
	require.Equal(t, []ci.Key{k}, keys)
	require.Len(t, w.told, 3)
}

// What is stored may be sealed under another key at any moment.
func TestDeleteKey_WhileItIsResealed(t *testing.T) {
	w := newWorld(t)
	k, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, admin)
	require.NoError(t, err)
	w.meanwhile = func() {
		d, err := w.db.DocNamed(w.ctx, "project-key", string(shop.ID), k.SHA256)
		require.NoError(t, err)
		_, err = w.db.WriteDocs(w.ctx, ci.DocChange{Doc: d})
		require.NoError(t, err)
	}
	require.NoError(t, w.DeleteKey(w.ctx, shop.ID, k.SHA256, admin))
	keys, err := w.Keys(w.ctx, shop.ID)
	require.NoError(t, err)
	require.Empty(t, keys)
	require.Len(t, w.told, 2, "the code host is told once of each")
}

func TestKeyLimit(t *testing.T) {
	w := newWorld(t)
	for range secret.MaxKeys {
		_, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, alice)
		require.NoError(t, err)
	}
	_, err := w.CreateKey(w.ctx, shop.ID, ci.KeyDeploy, alice)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "100 keys and cannot have more")
	require.Len(t, w.told, secret.MaxKeys)
}

// The border to a code host registers its own deploy key; we only keep it, one
// for each host.
func TestSEC04_KeptDeployKey(t *testing.T) {
	w := newWorld(t)
	first, public := made(t, "-t", "ed25519", "-N", "")
	second, _ := made(t, "-t", "ed25519", "-N", "")
	keep := func(private string) {
		t.Helper()
		require.NoError(t, w.KeepKey(w.ctx, shop.ID, ci.SSHKey{Host: "github.com", Private: private}))
	}
	own, err := w.CreateKey(w.ctx, shop.ID, ci.KeyUser, alice)
	require.NoError(t, err)
	w.told = nil
	keep(first)
	keep(first)
	keys, err := w.Keys(w.ctx, shop.ID)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, public, keys[0].Public)
	require.Equal(t, ci.KeyDeploy, keys[0].Kind)
	require.True(t, keys[0].Preferred)
	keep(second)
	keys, err = w.Keys(w.ctx, shop.ID)
	require.NoError(t, err)
	require.Len(t, keys, 2, "in place of the first")
	require.NotEqual(t, public, keys[0].Public)
	keep("")
	keep("")
	keys, err = w.Keys(w.ctx, shop.ID)
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, own.SHA256, keys[0].SHA256)
	require.Empty(t, w.told, "the code host knows already")
	require.ErrorIs(t, w.KeepKey(w.ctx, shop.ID, ci.SSHKey{Private: "rubbish"}), ci.ErrInvalid)
}
