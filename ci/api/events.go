package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// beat is how often a silent stream of events shows that it lives.
const beat = 15 * time.Second

// events sends what happens. The stream begins with event "hello", whose number
// is where it starts, and from there on has no gap: a client that comes back
// with the number of the last event it saw gets all that followed.
func (c *call) events() (any, error) {
	ctx := c.r.Context()
	wanted, err := c.wanted()
	if err != nil {
		return nil, err
	}
	after, err := c.eventStart()
	if err != nil {
		return nil, err
	}
	e := c.startEvents()
	defer e.stop()
	if c.r.Method == http.MethodHead {
		return written, nil
	}
	if e.send("hello", after, []byte("{}")) != nil {
		return written, nil
	}
	for event, err := range c.server.Follow(ctx, after) {
		if err != nil {
			return written, err
		}
		ok, err := wanted(event)
		if err != nil {
			return written, err
		}
		if !ok {
			e.pass(event.Seq)
			continue
		}
		if !c.still() {
			return written, nil
		}
		data, err := json.Marshal(event)
		if err != nil {
			return written, err
		}
		if e.send(string(event.Kind), event.Seq, data) != nil {
			return written, nil // the client has gone
		}
	}
	return written, nil
}

// eventStart returns the number of the event that the client has seen last.
func (c *call) eventStart() (uint64, error) {
	text := c.r.Header.Get("Last-Event-ID")
	if text == "" {
		text = c.r.URL.Query().Get("after")
	}
	if text == "" {
		return c.read.LastEvent(c.r.Context())
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the number of an event is expected, not %.50q: %w", text, ci.ErrInvalid)
	}
	return n, nil
}

// wanted returns what chooses the events that the client asks for and may see.
func (c *call) wanted() (func(ci.Event) (bool, error), error) {
	q := c.r.URL.Query()
	var only ci.ProjectID
	if name := q.Get("project"); name != "" {
		c.r.SetPathValue("project_slug", shorten(name))
		p, err := c.project(false)
		if err != nil {
			return nil, err
		}
		only = p.ID
	}
	pipeline, workflow := ci.PipelineID(q.Get("pipeline")), ci.WorkflowID(q.Get("workflow"))
	return func(e ci.Event) (bool, error) {
		if only != "" && e.Project != only || pipeline != "" && e.Pipeline != pipeline || workflow != "" && e.Workflow != workflow {
			return false, nil
		}
		_, err := c.may(c.r.Context(), e.Project, false)
		if err != nil && hidden(err) {
			return false, nil
		}
		return err == nil, err
	}, nil
}

// An eventStream writes server-sent events, and a sign of life while there are
// none.
type eventStream struct {
	mu     sync.Mutex
	out    *stream
	passed uint64 // the newest event that was not for this client
	sent   uint64
	failed error
	done   chan struct{}
	beats  sync.WaitGroup
}

// startEvents begins the reply. The caller calls stop.
func (c *call) startEvents() *eventStream {
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // proxies must not hold it back
	c.w.WriteHeader(http.StatusOK)
	e := &eventStream{out: newStream(c.w), done: make(chan struct{})}
	_ = e.out.flush()
	e.beats.Go(func() {
		t := time.NewTicker(beat)
		defer t.Stop()
		for {
			select {
			case <-e.done:
				return
			case <-t.C:
				e.beat()
			}
		}
	})
	return e
}

// stop ends the signs of life, which must not outlive the request.
func (e *eventStream) stop() {
	close(e.done)
	e.beats.Wait()
	e.out.close()
}

// send writes one event. An error means that the client has gone.
func (e *eventStream) send(kind string, id uint64, data []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent, e.passed = id, 0
	return e.write(fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", kind, id, data))
}

// pass notes an event that is not for this client, so that it need not be
// looked at again when the client comes back.
func (e *eventStream) pass(id uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.passed = id
}

func (e *eventStream) beat() {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := ": still here\n\n"
	if e.passed > e.sent {
		text = "id: " + strconv.FormatUint(e.passed, 10) + "\n\n"
		e.sent = e.passed
	}
	_ = e.write(text)
}

func (e *eventStream) write(text string) error {
	if e.failed != nil {
		return e.failed
	}
	_, err := e.out.Write([]byte(text))
	if err == nil {
		err = e.out.flush()
	}
	if errors.Is(err, http.ErrNotSupported) {
		err = nil
	}
	e.failed = err
	return err
}
