package main

import (
	"bytes"
	"cmp"
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
)

// A running is the server of a data folder, as commands on the same machine
// reach it. Who can read the folder may do everything.
type running struct {
	url, token string
	client     *http.Client
}

// runningServer finds the server of the settings.
func runningServer(file string) (running, error) {
	s, err := loadSettings(file)
	if err != nil {
		return running{}, usageError{err}
	}
	address, err := os.ReadFile(filepath.Join(s.Data, addressFile))
	if errors.Is(err, os.ErrNotExist) {
		return running{}, fmt.Errorf("no server runs on %s: start rondo-server serve --config %s first", s.Data, file)
	}
	if err != nil {
		return running{}, err
	}
	token, err := os.ReadFile(filepath.Join(s.Data, "token"))
	if err != nil {
		return running{}, fmt.Errorf("this takes whoever may read the data folder: %w", err)
	}
	client, err := s.ownClient()
	return running{strings.TrimSpace(string(address)), strings.TrimSpace(string(token)), client}, err
}

// ownClient returns a client for the server of the settings, which trusts its
// certificate also while that is one that it has made for the start.
func (s settings) ownClient() (*http.Client, error) {
	r, err := s.reach(nil)
	if err != nil {
		return nil, err
	}
	own := ""
	if s.TLS != nil {
		own = cmp.Or(s.TLS.Cert, filepath.Join(s.Data, "tls.crt"))
	}
	way, err := r.way(own)
	return &http.Client{Transport: way}, err
}

// do asks the API below /api/v2/rondo and reads the answer; one that is no
// success is an error with the words of the server.
func (s running) do(ctx context.Context, method, path string, send, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var body io.Reader
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v2/rondo"+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Circle-Token", s.token)
	if send != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the server; does it still run? %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("ask the server: %w", err)
	}
	if res.StatusCode >= 300 {
		var said struct{ Message string }
		if json.Unmarshal(text, &said) != nil || said.Message == "" {
			said.Message = res.Status
		}
		return errors.New(strings.TrimSuffix(said.Message, "."))
	}
	return json.Unmarshal(text, answer)
}
