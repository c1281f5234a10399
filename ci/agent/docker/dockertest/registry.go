//go:build linux

package dockertest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Registry is a registry of images with one image, box:1, that it gives to
// whoever has its user name and password.
type Registry struct {
	Host     string // as in the name of an image
	User     string
	Password string
	Token    bool // ask for a token, which the password buys, instead of the password
	Pulls    atomic.Int64

	manifest []byte
	blobs    map[string][]byte
}

// NewRegistry starts a registry where the engine is.
func NewRegistry(t testing.TB, e *Engine, token bool) *Registry {
	t.Helper()
	r := &Registry{User: "kim", Password: "s3cr3t-of-kim", Token: token, blobs: map[string][]byte{}}
	files, err := Busybox().With(Tree{"etc/os-release": "NAME=pulled\n"}).tar()
	require.NoError(t, err)
	plain, err := io.ReadAll(files)
	require.NoError(t, err)
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	_, err = z.Write(plain)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Env": []string{"FROM=registry"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(plain)}},
	})
	require.NoError(t, err)
	blob := func(kind string, b []byte) map[string]any {
		r.blobs[digest(b)] = b
		return map[string]any{"mediaType": "application/vnd.docker." + kind, "size": len(b), "digest": digest(b)}
	}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": blob("container.image.v1+json", config),
		"layers": []any{blob("image.rootfs.diff.tar.gzip", layer.Bytes())},
	})
	require.NoError(t, err)
	l, err := e.Listen()
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(r)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	r.Host = l.Addr().String()
	return r
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Digest is that of the image.
func (r *Registry) Digest() string { return digest(r.manifest) }

// ServeHTTP implements the part of the registry's protocol that a pull needs.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	user, password, basic := q.BasicAuth()
	mine := basic && user == r.User && password == r.Password
	switch {
	case q.URL.Path == "/token":
		if !mine {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"token": %q}`, "token-of-"+r.User)
		return
	case r.Token && q.Header.Get("Authorization") != "Bearer token-of-"+r.User:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, r.Host))
		refuse(w)
		return
	case !r.Token && !mine:
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		refuse(w)
		return
	}
	path := strings.TrimPrefix(q.URL.Path, "/v2/box/")
	switch {
	case q.URL.Path == "/v2/":
		w.WriteHeader(http.StatusOK)
	case path == "manifests/1" || path == "manifests/"+r.Digest():
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", r.Digest())
		w.Header().Set("Content-Length", fmt.Sprint(len(r.manifest)))
		if q.Method == http.MethodGet {
			r.Pulls.Add(1)
			_, _ = w.Write(r.manifest)
		}
	case r.blobs[strings.TrimPrefix(path, "blobs/")] != nil:
		_, _ = w.Write(r.blobs[strings.TrimPrefix(path, "blobs/")])
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
	}
}

func refuse(w http.ResponseWriter) {
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
}
