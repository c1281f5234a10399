package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
)

// A Link is the agent's end on the machine.
type Link struct {
	// Rest is what is left of the task.
	Rest agent.Rest
	// Base, HTTP and Token are for a client of the server's door.
	Base  string
	HTTP  *http.Client
	Token string
}

// errEnded says that the other side is gone.
var errEnded = fmt.Errorf("the connection to the agent that has the task was lost: %w", ci.ErrConflict)

// maxReason bounds what is read of why a task is to stop.
const maxReason = 4 << 10

// Attend asks the other side for the task and calls run with it, whose context
// ends when the task is to stop: with the reason, or with [ci.ErrConflict] when
// the connection was lost. In and out are standard input and output; nothing
// else may use them. It returns the exit code with which the process is to end,
// and what it is to say.
func Attend(ctx context.Context, in io.Reader, out io.Writer, run func(context.Context, Link) error) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := sync.OnceFunc(func() { cancel(errEnded) })
	conns := make(chan net.Conn, 1)
	conns <- &pipe{watched{in, lost}, out, func() error { lost(); return nil }}
	client := &http.Client{Transport: &http.Transport{
		Protocols: http2(), DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			select {
			case c := <-conns:
				return c, nil
			default:
				return nil, errEnded
			}
		},
	}}
	link, err := receive(ctx, client)
	if err != nil {
		return exitFault, fmt.Errorf("ask for the task: %w", err)
	}
	go func() { // ends with the process
		if reason, err := get(ctx, client, stopPath); err == nil {
			if text, err := io.ReadAll(io.LimitReader(reason, maxReason)); err == nil && len(text) > 0 {
				cancel(errors.New(string(text)))
				return
			}
		}
		cancel(errEnded)
	}()
	switch err := run(ctx, link); {
	case err == nil:
		return exitDone, nil
	case errors.Is(err, ci.ErrConflict):
		return exitSuperseded, err
	default:
		return exitFault, err
	}
}

// receive asks for the task.
func receive(ctx context.Context, client *http.Client) (Link, error) {
	body, err := get(ctx, client, restPath)
	if err != nil {
		return Link{}, err
	}
	defer body.Close()
	var h handOver
	if err := json.NewDecoder(body).Decode(&h); err != nil {
		return Link{}, err
	}
	link := Link{Rest: h.Rest, Base: "http://machine", HTTP: client, Token: h.Token}
	if h.Bundle {
		link.Rest.Bundle, err = fetch(ctx, client)
	}
	return link, err
}

// fetch writes the repository into a file beside the program.
func fetch(ctx context.Context, client *http.Client) (string, error) {
	body, err := get(ctx, client, bundlePath)
	if err != nil {
		return "", err
	}
	defer body.Close()
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "rondo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "repository-")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, body)
	return f.Name(), errors.Join(err, f.Close())
}

func get(ctx context.Context, client *http.Client, path string) (io.ReadCloser, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://machine"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(q)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return res.Body, nil
}

// A watched reader tells when there is nothing more to read.
type watched struct {
	io.Reader
	end func()
}

// Read implements [io.Reader].
func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil {
		w.end()
	}
	return n, err
}
