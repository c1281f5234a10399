package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rondo-ci/rondo/storage/secrets"
	"github.com/stretchr/testify/require"
)

func TestSettings(t *testing.T) {
	s, err := parseSettings([]byte("url: https://ci.example.com/\ndata: /srv\n"))
	require.NoError(t, err)
	require.Equal(t, "https://ci.example.com", s.URL)
	require.Equal(t, "127.0.0.1:8585", s.Agents, "the guide's port for agents, for this machine only")
	require.Nil(t, s.GitHub)

	s, err = parseSettings([]byte(`
url: http://ci:8080
data: d
github: {host: https://ghe.example.com, token: "env:T", webhook_secret: "file:/s"}
webhooks: {allow: [10.0.0.0/8]}
secrets: {vault: {address: "https://vault", token: "env:V"}}
`))
	require.NoError(t, err)
	require.Equal(t, secretRef("env:T"), s.GitHub.Token)
	require.Equal(t, "10.0.0.0/8", s.Webhooks.Allow[0].String())
}

func TestSettings_Mistakes(t *testing.T) {
	const good = "url: https://ci\ndata: d\n"
	for text, want := range map[string][]string{
		"":                                {"url is missing", "data is missing"},
		"url: ci.example.com\ndata: d":    {"is no address of a server"},
		good + "listen: 8080":             {`listen: "8080" is not host:port`},
		good + "lissten: x":               {"line 3: key lissten is not known"},
		good + "folders: {}":              {"line 3"},
		good + "log: xml":                 {"neither text nor json"},
		good + "lease: 1s":                {"lease: 1s is not between"},
		good + "github: {}":               {"github.token is missing", "github.webhook_secret is missing"},
		good + "github: {token: ghp_abc}": {"not the secret itself"},
		good + "webhooks: {allow: [x]}":   {"is no network"},
		good + "secrets: {key: k, passphrase: \"env:P\"}": {"choose one of passphrase and key"},
		good + "secrets: {vault: {}}":                     {"vault.address is missing"},
		"url: [":                                          {"line 1"},
	} {
		_, err := parseSettings([]byte(text))
		for _, w := range want {
			require.ErrorContains(t, err, w, text)
		}
		require.NotContains(t, err.Error(), "ghp_abc")
		require.NotContains(t, err.Error(), "main.")
	}
}

func TestSecretRef(t *testing.T) {
	file := filepath.Join(serverDir(t), "s")
	require.NoError(t, os.WriteFile(file, []byte("x y\r\n"), 0o600))
	v, err := secretRef("file:" + file).read()
	require.NoError(t, err)
	require.Equal(t, "x y", v)
	t.Setenv("RONDO_TEST_SECRET", "z")
	v, err = secretRef("env:RONDO_TEST_SECRET").read()
	require.NoError(t, err)
	require.Equal(t, "z", v)
	_, err = secretRef("env:RONDO_NO_SUCH").read()
	require.ErrorContains(t, err, "RONDO_NO_SUCH is empty")
	_, err = secretRef("file:/no/such").read()
	require.Error(t, err)
}

// The passphrase of the keyset is in a file that nobody else may read, and not
// beside what it opens.
func TestA063_PassphraseFile(t *testing.T) {
	data, etc := serverDir(t), serverDir(t)
	open := func(file string) error {
		require.NoError(t, os.WriteFile(file, []byte("correct horse battery\n"), 0o600))
		root, given := secretsSettings{Passphrase: secretRef("file:" + file)}.root()
		require.True(t, given)
		_, err := secrets.CreateKeyset(filepath.Join(data, filepath.Base(file)+".keyset"), root, secrets.KeysetConfig{Data: data})
		return err
	}
	require.NoError(t, open(filepath.Join(etc, "good")))
	require.ErrorContains(t, open(filepath.Join(data, "beside")), "lies in the data folder")
	file := filepath.Join(etc, "open")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.ErrorContains(t, open(file), "chmod 600")
	t.Setenv("RONDO_TEST_PASSPHRASE", "correct horse battery")
	root, _ := secretsSettings{Passphrase: "env:RONDO_TEST_PASSPHRASE"}.root()
	_, err := secrets.OpenKeyset(filepath.Join(data, "good.keyset"), root, secrets.KeysetConfig{Data: data})
	require.NoError(t, err)
}

// FuzzSettings: no text makes the parser panic.
func FuzzSettings(f *testing.F) {
	f.Add([]byte("url: https://ci\ngithub: {token: [}"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = parseSettings(text) })
}

// Settings that come from an installation with external services: each one is
// named, with what does its work here. Nomad is one of settings.
func TestDAT02_ExternalServicesByName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rondo.yml")
	text := "url: https://ci.example.com\ndata: d\nredis: {host: r}\nrabbitmq: amqp://q\nslanger:\n  host: s\nmongodb: m\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	cmd := program(t, "serve", "--check", "--config", file)
	out, _ := cmd.CombinedOutput()
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
	for _, want := range []string{
		"line 3: Rondo needs no redis: caches and queues are in this process", "line 4: Rondo needs no rabbitmq", "line 5: Rondo needs no slanger: live events are served",
		"line 7: Rondo needs no mongodb: all records are in the one database",
	} {
		require.Contains(t, string(out), want)
	}
	require.NoError(t, os.WriteFile(file, []byte("url: https://ci.example.com\ndata: d\nnomad: {address: 'http://n:4646', door: 'http://d:8585'}\n"), 0o600))
	out, err := program(t, "serve", "--check", "--config", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
