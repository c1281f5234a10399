package nomadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
)

// bufferSize is how many events a server of Nomad remembers.
const bufferSize = 100

// An event is a line of the stream.
type event struct {
	index uint64
	line  []byte
}

// emit tells of a change, unless events get lost.
func (s *Server) emit(topic api.Topic, kind, key string, payload map[string]any) {
	if s.mute {
		return
	}
	line, err := json.Marshal(map[string]any{"Index": s.index, "Events": []any{
		map[string]any{"Topic": topic, "Type": kind, "Key": key, "Index": s.index, "Payload": payload},
	}})
	if err != nil {
		return
	}
	s.events = append(s.events, event{s.index, append(line, '\n')})
	s.events = s.events[max(0, len(s.events)-bufferSize):]
	s.wake()
}

// stream serves events after an index as lines of JSON.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	s.mu.Lock()
	cut := s.cut
	if from == 0 {
		from = s.index + 1
	}
	s.mu.Unlock()
	flush := http.NewResponseController(w)
	_, _ = w.Write([]byte("{}\n"))
	_ = flush.Flush()
	beat := time.NewTicker(10 * time.Second)
	defer beat.Stop()
	for {
		s.mu.Lock()
		var lines []byte
		for _, e := range s.events {
			if e.index >= from {
				lines = append(lines, e.line...)
			}
		}
		from = s.index + 1
		changed := s.changed
		s.mu.Unlock()
		if len(lines) > 0 {
			if _, err := w.Write(lines); err != nil {
				return
			}
			_ = flush.Flush()
		}
		select {
		case <-r.Context().Done():
			return
		case <-cut:
			return
		case <-changed:
		case <-beat.C:
			_, _ = w.Write([]byte("{}\n"))
			_ = flush.Flush()
		}
	}
}

// Client reaches the server without a network.
func (s *Server) Client() *http.Client { return Direct(s) }

// Direct returns a client that calls a handler without a network, whatever the
// address. A handler that panics breaks the connection.
func Direct(h http.Handler) *http.Client { return &http.Client{Transport: direct{h}} }

// direct calls a handler, with a pipe for its answer.
type direct struct{ h http.Handler }

var errBroken = errors.New("connection broken")

// RoundTrip implements [http.RoundTripper].
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	in.Body = io.NopCloser(bytes.NewReader(body))
	read, write := io.Pipe()
	a := &reply{header: http.Header{}, pipe: write, begun: make(chan struct{})}
	ended := make(chan bool, 1)
	go func() {
		defer func() {
			broken := recover() != nil
			ended <- broken
			if broken {
				_ = write.CloseWithError(errBroken)
				return
			}
			a.WriteHeader(http.StatusOK)
			_ = write.Close()
		}()
		d.h.ServeHTTP(a, in)
	}()
	stop := func() { _ = read.CloseWithError(r.Context().Err()) }
	select {
	case <-a.begun:
	case broken := <-ended:
		if broken {
			return nil, errBroken
		}
		<-a.begun
	case <-r.Context().Done():
		stop()
		return nil, r.Context().Err()
	}
	return &http.Response{
		StatusCode: a.code, Status: http.StatusText(a.code), Header: a.header, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: -1, Body: &pipeBody{read, context.AfterFunc(r.Context(), stop)},
	}, nil
}

// A pipeBody is the body of an answer, which ends with the request's context.
type pipeBody struct {
	*io.PipeReader
	release func() bool
}

func (b *pipeBody) Close() error {
	b.release()
	return b.PipeReader.Close()
}

// A reply is the answer of a handler.
type reply struct {
	header http.Header
	pipe   *io.PipeWriter
	code   int
	once   sync.Once
	begun  chan struct{}
}

func (a *reply) Header() http.Header { return a.header }

func (a *reply) WriteHeader(code int) {
	a.once.Do(func() { a.code = code; close(a.begun) })
}

func (a *reply) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.pipe.Write(p)
}

// Flush implements [http.Flusher].
func (a *reply) Flush() {}
