package guest

import (
	"cmp"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

//go:embed serve.sh
var serveScript string

// dockerPort is where an engine serves by TLS, by the custom of Docker and in the
// guide's security group.
const dockerPort = "2376"

// answerTime is how long an engine that has started again may take to answer.
const answerTime = 30 * time.Second

// ServeDocker makes the machine's engine serve by mutual TLS at port 2376,
// besides the sockets that it has, and returns the client's way in, which was
// tried from here. The certificates are made here and are good for [Visitor].Life;
// those of an earlier call are refused from then on. What is set in
// /etc/docker/daemon.json stays, but for TLS and the addresses.
func (p Visitor) ServeDocker(ctx context.Context, m vmservice.Machine, a vmservice.Access) (ci.DockerAccess, error) {
	access, err := p.serve(ctx, m, a)
	if err != nil {
		return ci.DockerAccess{}, fmt.Errorf("serve Docker on machine %s: %w", m.ID, err)
	}
	return access, nil
}

func (p Visitor) serve(ctx context.Context, m vmservice.Machine, a vmservice.Access) (ci.DockerAccess, error) {
	host, _, err := net.SplitHostPort(m.Address)
	if err != nil {
		return ci.DockerAccess{}, fmt.Errorf("its address %q is not host:port: %w", m.Address, ci.ErrInvalid)
	}
	v, err := enter(ctx, m, a)
	if err != nil {
		return ci.DockerAccess{}, err
	}
	defer v.Close()
	said, err := v.root(ctx, serveScript+"\nshow_engine")
	if err != nil {
		return ci.DockerAccess{}, err
	}
	now, err := readEngine(said)
	if err != nil {
		return ci.DockerAccess{}, err
	}
	next, err := now.serving(host)
	if err != nil {
		return ci.DockerAccess{}, err
	}
	clock := time.Now()
	certs, err := newCertificates(host, clock, clock.Add(cmp.Or(max(p.Life, 0), 48*time.Hour)))
	if err != nil {
		return ci.DockerAccess{}, err
	}
	var script strings.Builder
	script.WriteString(serveScript)
	for name, text := range map[string]string{
		"ca": certs.ca, "cert": certs.serverCert, "key": certs.serverKey, "settings": next.settings, "command": next.line(),
	} {
		fmt.Fprintf(&script, "\n%s=%s", name, base64.StdEncoding.EncodeToString([]byte(text)))
	}
	fmt.Fprintf(&script, "\nfile=%s\nserve_engine", quote(next.file))
	if _, err := v.root(ctx, script.String()); err != nil {
		return ci.DockerAccess{}, err
	}
	address := net.JoinHostPort(host, dockerPort)
	if err := certs.try(ctx, address); err != nil {
		return ci.DockerAccess{}, fmt.Errorf("its engine was started again and cannot be reached at %s: %w", address, err)
	}
	return ci.DockerAccess{Host: "tcp://" + address, CA: certs.ca, Cert: certs.clientCert, Key: certs.clientKey}, nil
}

// try asks the engine through TLS whether it is there.
func (c certificates) try(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		RootCAs: c.authority, Certificates: []tls.Certificate{c.clientPair}, MinVersion: tls.VersionTLS12,
	}}
	for {
		err := ping(ctx, t, address)
		if err == nil {
			return nil
		}
		again := time.NewTimer(200 * time.Millisecond)
		select {
		case <-ctx.Done():
			again.Stop()
			return err
		case <-again.C:
		}
	}
}

func ping(ctx context.Context, t *http.Transport, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/_ping", nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: t, Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 100))
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK || string(text) != "OK":
		return errors.New("what answers there is no Docker engine")
	}
	return nil
}
