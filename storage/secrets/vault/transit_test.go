package vault_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/secrets"
	"github.com/rondo-ci/rondo/storage/secrets/secretstest"
	"github.com/rondo-ci/rondo/storage/secrets/vault"
)

func Example() {
	server := httptest.NewServer(secretstest.NewVault()) // yours is at VAULT_ADDR
	defer server.Close()
	ctx := context.Background()
	backend, err := vault.New("rondo", vault.Config{Address: server.URL, Token: func() (string, error) { return "root", nil }})
	if err != nil {
		panic(err)
	}
	if err := backend.Create(ctx); err != nil {
		panic(err)
	}
	keeper, err := secrets.New("install-1", backend, secrets.Config{Kinds: []string{"context-variable"}})
	if err != nil {
		panic(err)
	}
	doc, _ := keeper.SealDoc(ctx, ci.Doc{Kind: "context-variable", ID: "1", Name: "TOKEN"}, []byte("hunter2"))
	fmt.Println(secrets.SealedBy(doc.Sealed))
	plain, err := keeper.OpenDoc(ctx, doc)
	fmt.Println(string(plain), err)
	// Output:
	// vault rondo.v1 <nil>
	// hunter2 <nil>
}

// open returns the backend of a new key in the Vault at that address.
func open(t *testing.T, address, token string) *vault.Transit {
	t.Helper()
	b, err := vault.New(strings.ReplaceAll(t.Name(), "/", "_"), vault.Config{
		Address: address, Retries: -1, Timeout: 5 * time.Second,
		Token: func() (string, error) { return token, nil },
	})
	require.NoError(t, err)
	require.NoError(t, b.Create(t.Context()))
	return b
}

func fake(t *testing.T) (*secretstest.Vault, string) {
	v := secretstest.NewVault()
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	return v, server.URL
}

func TestSEC02_Fake(t *testing.T) {
	secretstest.TestBackend(t, func(t *testing.T) secrets.Backend {
		_, address := fake(t)
		return open(t, address, "root")
	})
}

// TestSEC02_Real runs the suite against a Vault or OpenBao of its own.
func TestSEC02_Real(t *testing.T) {
	address := start(t)
	secretstest.TestBackend(t, func(t *testing.T) secrets.Backend { return open(t, address, "root") })
	t.Run("Disabled", func(t *testing.T) {
		b := open(t, address, "root")
		w, err := b.Wrap(t.Context(), make([]byte, 32))
		require.NoError(t, err)
		_, err = b.Rotate(t.Context())
		require.NoError(t, err)
		post(t, address+"/v1/transit/keys/TestSEC02_Real_Disabled/config", `{"min_decryption_version": 2}`)
		_, err = b.Unwrap(t.Context(), w)
		require.ErrorIs(t, err, secrets.ErrKeyDisabled)
		keys, err := b.Keys(t.Context())
		require.NoError(t, err)
		require.Equal(t, secrets.KeyDisabled, keys[0].State)
		require.WithinDuration(t, time.Now(), keys[1].Created, time.Hour)
		require.Zero(t, keys[0].Created, "Vault does not say any more")
	})
	t.Run("Refused", func(t *testing.T) {
		b, err := vault.New("x", vault.Config{Address: address, Retries: -1, Token: func() (string, error) { return "nobody", nil }})
		require.NoError(t, err)
		_, err = b.Wrap(t.Context(), make([]byte, 32))
		require.ErrorIs(t, err, secrets.ErrRefused)
	})
	t.Run("NoKey", func(t *testing.T) {
		b, err := vault.New("nothing", vault.Config{Address: address, Retries: -1, Token: func() (string, error) { return "root", nil }})
		require.NoError(t, err)
		_, err = b.Keys(t.Context())
		require.ErrorIs(t, err, secrets.ErrNoKey)
	})
	t.Run("Sealed", func(t *testing.T) { // the last: it stays so
		b := open(t, address, "root")
		post(t, address+"/v1/sys/seal", "")
		_, err := b.Wrap(t.Context(), make([]byte, 32))
		require.ErrorIs(t, err, secrets.ErrSealed)
	})
}

func post(t *testing.T, url, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Vault-Token", "root")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Less(t, resp.StatusCode, 300)
}

// start runs a server in memory on loopback and returns its address.
func start(t *testing.T) string {
	binary := ""
	for _, name := range []string{"vault", "bao"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		t.Skip("neither vault nor bao is on PATH; the same suite runs against secretstest.Vault")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	host := l.Addr().String()
	require.NoError(t, l.Close())
	home := t.TempDir()
	log, err := os.Create(filepath.Join(home, "log"))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binary, "server", "-dev", "-dev-root-token-id=root", "-dev-listen-address="+host, "-dev-no-store-token")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	address := "http://" + host
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/v1/sys/health", nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond)
	post(t, address+"/v1/sys/mounts/transit", `{"type": "transit"}`)
	return address
}

func TestErrors(t *testing.T) {
	v, address := fake(t)
	b := open(t, address, "root")
	_, err := b.Wrap(t.Context(), make([]byte, 32))
	require.NoError(t, err)
	for status, want := range map[int]error{
		403: secrets.ErrRefused, 429: secrets.ErrBusy, 412: secrets.ErrBusy, 473: secrets.ErrBusy,
		500: secrets.ErrUnreachable, 502: secrets.ErrUnreachable, 404: secrets.ErrNoKey,
	} {
		v.Answer(status)
		_, err := b.Wrap(t.Context(), make([]byte, 32))
		require.ErrorIs(t, err, want, "%d", status)
	}
	v.Answer(0)
	v.Seal(true)
	_, err = b.Wrap(t.Context(), make([]byte, 32))
	require.ErrorIs(t, err, secrets.ErrSealed)
	require.ErrorIs(t, b.Ready(t.Context()), secrets.ErrSealed)
	v.Seal(false)
	require.NoError(t, b.Ready(t.Context()))

	release := v.Hold()
	defer release()
	slow, err := vault.New("x", vault.Config{Address: address, Retries: -1, Timeout: 20 * time.Millisecond, Token: func() (string, error) { return "root", nil }})
	require.NoError(t, err)
	_, err = slow.Wrap(t.Context(), make([]byte, 32))
	require.ErrorIs(t, err, secrets.ErrUnreachable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Wrap(ctx, make([]byte, 32))
	require.ErrorIs(t, err, context.Canceled)
	release()

	gone, err := vault.New("x", vault.Config{Address: "http://127.0.0.1:1", Retries: -1, Token: func() (string, error) { return "s.canary", nil }})
	require.NoError(t, err)
	_, err = gone.Wrap(t.Context(), make([]byte, 32))
	require.ErrorIs(t, err, secrets.ErrUnreachable)
	require.NotContains(t, err.Error(), "canary")
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", gone, gone, gone), "canary")
	_, err = vault.New("a/b", vault.Config{})
	require.ErrorIs(t, err, ci.ErrInvalid)
}

// TestNotVault has something else answer.
func TestNotVault(t *testing.T) {
	for _, page := range []string{"", "<html>", "{}", `{"data": 1}`, `{"data": {"ciphertext": "vault:v0:AAAA"}}`, `{"data": {"batch_results": [{}, {}, {}]}}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
		b, err := vault.New("x", vault.Config{Address: server.URL, Retries: -1, Token: func() (string, error) { return "root", nil }})
		require.NoError(t, err)
		_, err = b.Wrap(t.Context(), make([]byte, 32))
		require.ErrorIs(t, err, secrets.ErrUnreachable, page)
		_, err = b.Unwrap(t.Context(), secrets.Wrapped{Key: "x.v1", Data: make([]byte, 60)})
		require.ErrorIs(t, err, secrets.ErrUnreachable, page)
		server.Close()
	}
}

// TestLeastRights needs update on three paths.
func TestLeastRights(t *testing.T) {
	v, address := fake(t)
	name := open(t, address, "root").String()
	require.Contains(t, name, "transit/TestLeastRights")
	v.AddToken("server", 0, false, "transit/encrypt/", "transit/decrypt/", "transit/rewrap/")
	b, err := vault.New("TestLeastRights", vault.Config{Address: address, Retries: -1, Token: func() (string, error) { return "server", nil }})
	require.NoError(t, err)
	w, err := b.Wrap(t.Context(), make([]byte, 32))
	require.NoError(t, err)
	_, err = b.Unwrap(t.Context(), w)
	require.NoError(t, err)
	_, err = b.Rewrap(t.Context(), w)
	require.NoError(t, err)
	primary, err := b.Primary(t.Context())
	require.NoError(t, err)
	require.Equal(t, "TestLeastRights.v1", primary)
	_, err = b.Rotate(t.Context())
	require.ErrorIs(t, err, secrets.ErrRefused)
	_, err = b.Keys(t.Context())
	require.ErrorIs(t, err, secrets.ErrRefused)
}

// TestTokenFile has an agent renew a token in a file.
func TestTokenFile(t *testing.T) {
	v, address := fake(t)
	open(t, address, "root")
	v.AddToken("first", 0, false)
	v.AddToken("second", 0, false)
	file := atomic.Pointer[string]{}
	first, second := "first", "second\n"
	file.Store(&first)
	b, err := vault.New("TestTokenFile", vault.Config{Address: address, Retries: -1, Token: func() (string, error) { return *file.Load(), nil }})
	require.NoError(t, err)
	require.NoError(t, b.Ready(t.Context()))
	v.Revoke("first")
	require.ErrorIs(t, b.Ready(t.Context()), secrets.ErrRefused)
	file.Store(&second)
	require.NoError(t, b.Ready(t.Context()))
}

// TestRunRenews lets a token of three seconds live on.
func TestRunRenews(t *testing.T) {
	v, address := fake(t)
	open(t, address, "root")
	v.AddToken("short", 3*time.Second, true)
	renewed := make(chan string, 100)
	b, err := vault.New("TestRunRenews", vault.Config{
		Address: address, Retries: -1, Token: func() (string, error) { return "short", nil },
		Log: slog.New(slog.NewTextHandler(lines(renewed), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- b.Run(ctx) }()
	for range 2 {
		line := <-renewed
		require.Contains(t, line, "is renewed")
		require.NotContains(t, line, "short")
	}
	require.GreaterOrEqual(t, v.Calls("token"), 4)
	v.Revoke("short")
	require.Contains(t, <-renewed, "renew the token")
	cancel()
	require.NoError(t, <-ran)

	forever := open(t, address, "root")
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	require.NoError(t, forever.Run(ctx))
}

type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
