package nomad

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// An access is the way to Nomad, an [http.RoundTripper]. It shows the token and
// the certificates of now, not those of the start, and says of a refusal which
// right is missing: Nomad itself says "Permission denied" and no more.
type access struct {
	s   Server
	log *slog.Logger

	mu    sync.Mutex
	files string // how the files of certificates looked
	inner http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (a *access) RoundTrip(r *http.Request) (*http.Response, error) {
	way, err := a.way()
	if err != nil {
		return nil, err
	}
	r, err = a.shown(r)
	if err != nil {
		return nil, err
	}
	res, err := way.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusInternalServerError {
		return res, err
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	if err == nil && strings.Contains(string(text), "Permission denied") {
		res.StatusCode = http.StatusForbidden
		text = []byte(a.missing(r, way))
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return res, err
}

// shown returns the request with the token. Compression is the transport's
// matter, so that answers can be read here.
func (a *access) shown(r *http.Request) (*http.Request, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Accept-Encoding")
	if a.s.Token == nil {
		return r, nil
	}
	token, err := a.s.Token()
	if err != nil {
		return nil, fmt.Errorf("token of Nomad: %w", err)
	}
	if token != "" {
		r.Header.Set("X-Nomad-Token", token)
	}
	return r, nil
}

// way returns the transport of now. A pair of files that do not fit together,
// as while somebody replaces one after the other, leaves the one before.
func (a *access) way() (http.RoundTripper, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.s.HTTP != nil {
		if a.s.HTTP.Transport != nil {
			return a.s.HTTP.Transport, nil
		}
		return http.DefaultTransport, nil
	}
	files := look(a.s.CA, a.s.Cert, a.s.Key)
	if a.inner != nil && files == a.files {
		return a.inner, nil
	}
	next, err := a.s.transport()
	switch {
	case err != nil && a.inner == nil:
		return nil, err
	case err != nil:
		if a.log != nil {
			a.log.Warn("certificates for Nomad have changed and are no good, the earlier ones are used", "err", err)
		}
	default:
		closeIdle(a.inner)
		a.inner = next
		if a.s.Wrap != nil {
			a.inner = a.s.Wrap(next)
		}
	}
	a.files = files
	return a.inner, nil
}

// closeIdle closes connections that nobody uses.
func (a *access) closeIdle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	closeIdle(a.inner)
}

func closeIdle(t http.RoundTripper) {
	if t != nil {
		(&http.Client{Transport: t}).CloseIdleConnections()
	}
}

// look says how files look from outside: another answer is that one of them has
// changed.
func look(files ...string) string {
	var b strings.Builder
	for _, f := range files {
		if f == "" {
			continue
		}
		if info, err := os.Stat(f); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", info.ModTime(), info.Size(), info.Mode())
		} else {
			fmt.Fprintln(&b, err)
		}
	}
	return b.String()
}

// transport makes the connections of Server.
func (s Server) transport() (*http.Transport, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	t = t.Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = maxConns, 8
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if s.CA != "" {
		text, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("certificates for Nomad: %w: %w", err, ci.ErrInvalid)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("certificates for Nomad: %s holds no certificate in PEM: %w", s.CA, ci.ErrInvalid)
		}
	}
	if s.Cert != "" || s.Key != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("certificates for Nomad: %w: %w", err, ci.ErrInvalid)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	t.TLSClientConfig = c
	return t, nil
}

// missing says what Nomad has refused a request for.
func (a *access) missing(r *http.Request, way http.RoundTripper) string {
	right := a.right(r.Method, r.URL.Path)
	token := r.Header.Get("X-Nomad-Token")
	if token == "" {
		return "Permission denied: this takes " + right + ", and no token was set (token: in the chapter nomad of the settings)"
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	u := *r.URL
	u.Path, u.RawPath, u.RawQuery = "/v1/acl/token/self", "", ""
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "Permission denied: this takes " + right
	}
	ask.Header.Set("X-Nomad-Token", token)
	res, err := way.RoundTrip(ask)
	if err != nil {
		return "Permission denied: this takes " + right
	}
	defer res.Body.Close()
	var self struct{ Name, AccessorID string }
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if res.StatusCode != http.StatusOK || json.Unmarshal(text, &self) != nil {
		return "Permission denied: Nomad does not know the token, or it has expired"
	}
	return fmt.Sprintf("Permission denied: the token %s lacks %s", cmp.Or(self.Name, self.AccessorID), right)
}

// right is what a call takes, in the words of Nomad's policies.
func (a *access) right(method, path string) string {
	in := func(capability string) string {
		return fmt.Sprintf("the capability %s in namespace %s", capability, cmp.Or(a.s.Namespace, "default"))
	}
	switch last := path[strings.LastIndexByte(path, '/')+1:]; {
	case strings.HasPrefix(path, "/v1/node") && method == http.MethodGet:
		return "the policy node read"
	case strings.HasPrefix(path, "/v1/node"):
		return "the policy node write"
	case last == "dispatch":
		return in("dispatch-job")
	case last == "signal":
		return in("alloc-lifecycle")
	case strings.HasPrefix(path, "/v1/client/fs/"):
		return in("read-logs")
	case path == "/v1/jobs" && method == http.MethodGet:
		return in("list-jobs")
	case method != http.MethodGet:
		return in("submit-job")
	}
	return in("read-job")
}

// Check tries Nomad's address, certificates and token, and names every right
// that can be found missing without changing anything, and identities where they
// are required. The error joins them;
// [ci.ErrDenied] is in it when a right is missing.
func (c *Cluster) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	nobody := "rondo-check-" + string(ci.NewID())
	var wrong []error
	if c.space != "" {
		if _, _, err := c.api.Namespaces().Info(c.space, c.query(ctx, nil)); errors.Is(c.words(err), ci.ErrNotFound) {
			return fmt.Errorf("ask Nomad: there is no namespace %s: %w", c.space, ci.ErrNotFound)
		}
	}
	for _, try := range []func() error{
		func() error { _, _, err := c.api.Jobs().List(c.query(ctx, nil)); return err },
		func() error { _, _, err := c.api.Allocations().List(c.query(ctx, nil)); return err },
		func() error { _, _, err := c.api.Nodes().List(c.query(ctx, nil)); return err },
		func() error { _, _, err := c.api.Jobs().Deregister(nobody, false, c.write(ctx)); return err },
		func() error {
			_, _, err := c.api.Jobs().Dispatch(nobody, nil, nil, "", c.write(ctx))
			return err
		},
		func() error {
			_, err := c.api.Nodes().UpdateDrain("00000000-0000-4000-8000-000000000000", nil, false, c.write(ctx))
			return err
		},
	} {
		err := c.words(try())
		if err == nil || strings.Contains(err.Error(), "not found") { // Nomad says the latter with 404 and 500
			continue
		}
		if wrong = append(wrong, fmt.Errorf("ask Nomad: %w", err)); !errors.Is(err, ci.ErrDenied) {
			return errors.Join(wrong...) // it does not answer at all
		}
	}
	_, err := c.signs(ctx)
	return errors.Join(append(wrong, err)...)
}
