package guest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice/guest"
)

// client speaks to an engine as a job does.
func client(t *testing.T, d ci.DockerAccess) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(d.CA)))
	c := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if d.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(d.Cert), []byte(d.Key))
		require.NoError(t, err)
		c.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}, Timeout: 20 * time.Second}
}

// version asks an engine for its version.
func version(t *testing.T, d ci.DockerAccess) (string, error) {
	t.Helper()
	res, err := client(t, d).Get("https" + strings.TrimPrefix(d.Host, "tcp") + "/version")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(text), err
}

// An engine serves those alone that have the newest certificate of its machine,
// goes on through Mount, and keeps its settings.
func TestVMS07_EngineServesByMutualTLS(t *testing.T) {
	b, g := startBox(t), guest.Visitor{}
	b.run(`echo '{"debug": true, "hosts": ["tcp://0.0.0.0:2375"], "labels": ["kept=1"]}' > /etc/docker/daemon.json`)
	first, err := g.ServeDocker(t.Context(), b.machine, b.access)
	require.NoError(t, err)
	require.Equal(t, "tcp://"+b.ip+":2376", first.Host)
	text, err := version(t, first)
	require.NoError(t, err)
	require.Contains(t, text, "ApiVersion")
	require.Contains(t, b.run("docker info -f '{{.Labels}}'"), "kept=1")
	require.Equal(t, "root 600", b.run("stat -c '%U %a' /etc/docker/rondo/key.pem"))
	require.Equal(t, "root 700", b.run("stat -c '%U %a' /etc/docker/rondo"))
	require.NotContains(t, b.run("cat /etc/docker/rondo/* /etc/docker/daemon.json"), first.Key, "the client's key is not in the machine")

	second, err := g.ServeDocker(t.Context(), b.machine, b.access)
	require.NoError(t, err)
	require.NotEqual(t, first.CA, second.CA)
	_, err = version(t, second)
	require.NoError(t, err)
	stale := second
	stale.Cert, stale.Key = first.Cert, first.Key
	for name, bad := range map[string]ci.DockerAccess{
		"the old certificate": stale, "the old authority": first, "no certificate": {Host: second.Host, CA: second.CA},
	} {
		_, err = version(t, bad)
		require.Error(t, err, name)
	}
	pair, err := tls.X509KeyPair([]byte(second.Cert), []byte(second.Key))
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(48*time.Hour), cert.NotAfter, time.Hour)
	require.False(t, cert.IsCA)

	_, err = g.Mount(t.Context(), b.machine, b.access, volume(t, 200), "p|default")
	require.NoError(t, err)
	_, err = version(t, second)
	require.NoError(t, err, "through Mount")
	_, err = g.Unmount(t.Context(), b.machine, b.access)
	require.NoError(t, err)
}

// A machine whose settings cannot be read keeps them, and says so.
func TestServeDockerKeepsBrokenSettings(t *testing.T) {
	b := startBox(t)
	b.run(`echo '{"debug": tru' > /etc/docker/daemon.json`)
	_, err := guest.Visitor{}.ServeDocker(t.Context(), b.machine, b.access)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "/etc/docker/daemon.json")
	require.Equal(t, `{"debug": tru`, b.run("cat /etc/docker/daemon.json"))
	b.run("docker version")
}

// Without root nothing is done, and people learn why.
func TestWithoutRoot(t *testing.T) {
	b := startBox(t)
	b.run("grep -q ^somebody: /etc/passwd || echo somebody:x:4711:4711::/home:/bin/sh >> /etc/passwd; echo 'somebody:*:19000::::::' >> /etc/shadow")
	b.access.User = "somebody"
	_, err := guest.Visitor{}.Mount(t.Context(), b.machine, b.access, "/dev/null", "o")
	require.ErrorContains(t, err, "neither root nor may run sudo without a password")
	_, err = guest.Visitor{}.ServeDocker(t.Context(), b.machine, b.access)
	require.ErrorContains(t, err, "neither root")
}

// A call that is cut short anywhere is made again and ends well.
func TestDLC06_CutShortAndAgain(t *testing.T) {
	b, g, device := startBox(t), guest.Visitor{}, volume(t, 200)
	for i, pause := range []time.Duration{50, 200, 400, 700, 1200} {
		ctx, cancel := context.WithTimeout(t.Context(), pause*time.Millisecond)
		_, err := g.Mount(ctx, b.machine, b.access, device, "p|default")
		cancel()
		if err != nil && i%2 == 1 { // its machine's side dies as well
			_, _ = b.try("for p in $(pgrep -x --nslist mnt --ns $$ sh); do [ $p = $$ ] || kill -9 $p; done")
		}
		l, err := g.Mount(t.Context(), b.machine, b.access, device, "p|default")
		require.NoError(t, err, "after %s", pause*time.Millisecond)
		require.Equal(t, i == 0, l.Fresh, "after %s", pause*time.Millisecond)
		if i == 0 {
			b.image("built:1")
		}
		require.Equal(t, "built:1", b.run("docker image ls --format '{{.Repository}}:{{.Tag}}'"))
		ctx, cancel = context.WithTimeout(t.Context(), pause*time.Millisecond)
		_, _ = g.Unmount(ctx, b.machine, b.access)
		cancel()
		l, err = g.Unmount(t.Context(), b.machine, b.access)
		require.NoError(t, err)
		require.Equal(t, 1, l.Images)
	}
}
