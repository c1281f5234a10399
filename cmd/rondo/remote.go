package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/proxy"
	"github.com/rondo-ci/rondo/proxy/trust"
	"go.yaml.in/yaml/v3"
)

// remoteHelp tells where commands that talk to a server find it.
const remoteHelp = `The server is found, in this order, by
  1. RONDO_URL and RONDO_TOKEN in the environment;
  2. url and token in ~/.config/rondo/cli.yml (RONDO_CONFIG names another file);
  3. the data folder of a server that runs on this machine: RONDO_DATA, that of
     rondo-server dev for this repository, the one named in
     /etc/rondo/rondo.yml, /var/lib/rondo.
So on the server's own machine nothing needs to be said.

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 refused by a guard.`

// exitGuard is the code of what takes --force.
const exitGuard = 4

// A remote is the API of a server.
type remote struct {
	url, token string
	from       string // who said so
	patient    bool   // an answer may take as long as it does
}

// newRemote finds the server.
func newRemote(ctx context.Context) (*remote, error) {
	r := &remote{url: os.Getenv("RONDO_URL"), token: os.Getenv("RONDO_TOKEN"), from: "RONDO_URL"}
	if r.url == "" {
		if err := r.fromFile(); err != nil {
			return nil, err
		}
	}
	if r.url == "" {
		r.fromData(ctx)
	}
	if r.url == "" {
		return nil, errors.New("there is no server on this machine, or its data folder belongs to another user: " +
			"set RONDO_URL and RONDO_TOKEN, or write url: and token: into ~/.config/rondo/cli.yml")
	}
	r.url = strings.TrimRight(r.url, "/")
	return r, nil
}

// fromFile reads the user's file of settings, if there is one.
func (r *remote) fromFile() error {
	name := os.Getenv("RONDO_CONFIG")
	asked := name != ""
	if !asked {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil // then there is no such file
		}
		name = filepath.Join(dir, "rondo", "cli.yml")
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && !asked {
		return nil
	}
	var kept struct{ URL, Token string }
	if err == nil {
		err = yaml.Unmarshal(data, &kept)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	r.url, r.from = kept.URL, name
	if r.token == "" {
		r.token = kept.Token
	}
	return nil
}

// fromData looks for a server of this machine.
func (r *remote) fromData(ctx context.Context) {
	folders := []string{os.Getenv("RONDO_DATA")}
	if folders[0] == "" {
		if repo, err := local.Open(ctx, "."); err == nil {
			if dir, err := datadir.Default(repo.Dir()); err == nil {
				folders = append(folders, dir)
			}
		}
		var kept struct{ Data string }
		if data, err := os.ReadFile("/etc/rondo/rondo.yml"); err == nil && yaml.Unmarshal(data, &kept) == nil {
			folders = append(folders, kept.Data)
		}
		folders = append(folders, "/var/lib/rondo")
	}
	for _, dir := range folders {
		if dir == "" {
			continue
		}
		address, err := os.ReadFile(filepath.Join(dir, "address"))
		if err != nil {
			continue
		}
		r.url, r.from = strings.TrimSpace(string(address)), dir
		if token, err := os.ReadFile(filepath.Join(dir, "token")); err == nil && r.token == "" {
			r.token = strings.TrimSpace(string(token))
		}
		return
	}
}

// reach returns a client that trusts the authorities in the folder of this
// machine besides those of the system, and goes by the proxy of the environment.
// A limit of 0 is none.
func reach(limit time.Duration) (*http.Client, error) {
	proxies, err := proxy.FromEnviron(os.LookupEnv)
	if err != nil {
		return nil, codeError{exitUsage, err}
	}
	roots, err := trust.Open(trust.Config{})
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: limit, Transport: trust.NewWay(roots, proxies, nil)}, nil
}

// do makes a request of Rondo's own part of the API and returns the reply; an
// answer that is an error is one.
func (r *remote) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	return r.send(ctx, method, "/api/v2/rondo"+path, body)
}

// send is do for any path of the server.
func (r *remote) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var send io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, send)
	if err != nil {
		return nil, fmt.Errorf("the address of the server, from %s, is no good: %w", r.from, err)
	}
	req.Header.Set("Circle-Token", r.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	limit := time.Minute
	if r.patient {
		limit = 0
	}
	client, err := reach(limit)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no server answers at %s (from %s): %w", r.url, r.from, err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var said struct{ Message string }
	data, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if json.Unmarshal(data, &said) != nil || said.Message == "" {
		said.Message = res.Status
	}
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return nil, fmt.Errorf("%s does not know the token: set RONDO_TOKEN to one of yours, or to that in the file token of its data folder", r.url)
	case http.StatusForbidden:
		return nil, fmt.Errorf("%s: this takes the role of an operator; an administrator gives it at %s/admin/users", said.Message, r.url)
	case http.StatusConflict:
		return nil, codeError{exitGuard, errors.New(said.Message)}
	}
	return nil, errors.New(said.Message)
}

// call makes a request of Rondo's own part of the API and decodes the reply.
func (r *remote) call(ctx context.Context, method, path string, body, into any) error {
	return r.decode(ctx, method, "/api/v2/rondo"+path, body, into)
}

// decode is call for any path of the server.
func (r *remote) decode(ctx context.Context, method, path string, body, into any) error {
	res, err := r.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("%s answers with something else than this command expects; is it a Rondo server? %w", r.url, err)
	}
	return nil
}

// listed is a page of the API that is there as a whole.
type listed[T any] struct {
	Items []T `json:"items"`
}

// ask finds the server and reads one thing.
func ask[T any](ctx context.Context, path string) (T, error) {
	var v T
	r, err := newRemote(ctx)
	if err != nil {
		return v, err
	}
	return v, r.call(ctx, http.MethodGet, path, nil, &v)
}

// tell finds the server and has one thing done.
func tell[T any](ctx context.Context, path string, body any) (T, error) {
	var v T
	r, err := newRemote(ctx)
	if err != nil {
		return v, err
	}
	return v, r.call(ctx, http.MethodPost, path, body, &v)
}
