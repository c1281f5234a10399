package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var assetFiles embed.FS

// An asset is a file that pages load. Its version changes with its content, so
// it may be kept for ever.
type asset struct {
	content []byte
	kind    string
	version string
}

// loadAssets reads the embedded files; the colours of output are added to the
// style sheet.
func loadAssets() map[string]asset {
	kinds := map[string]string{
		"rondo.css": "text/css; charset=utf-8", "rondo.js": "text/javascript; charset=utf-8", "favicon.svg": "image/svg+xml",
	}
	assets := make(map[string]asset, len(kinds))
	for name, kind := range kinds {
		content, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			continue // embedded: a test opens each of them
		}
		if name == "rondo.css" {
			content = append(content, palette()...)
		}
		sum := sha256.Sum256(content)
		assets[name] = asset{content: content, kind: kind, version: hex.EncodeToString(sum[:6])}
	}
	return assets
}

// serveAsset needs no permission: the files are the same everywhere.
func (s *site) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	if name == "favicon.ico" {
		name = "favicon.svg"
	}
	a, ok := s.assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	if name == "favicon.svg" { // browsers ask for it on the behalf of artifacts, too, which are foreign
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	h.Set("Content-Type", a.kind)
	h.Set("ETag", `"`+a.version+`"`)
	h.Set("Cache-Control", "public, max-age=3600")
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}
