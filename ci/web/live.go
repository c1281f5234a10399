package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The times of a stream of events.
const (
	beat     = 15 * time.Second // between two signs of life
	patience = 30 * time.Second // with a reader that takes nothing
	lifetime = 10 * time.Minute // then the watcher comes again and shows who it is
)

// admit takes one of the places for watchers; the caller must give it back by
// calling leave.
func (s *site) admit() (leave func(), err error) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	default:
		return nil, errBusy
	}
}

// A stream is an answer of server-sent events.
type stream struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
}

// startStream begins the answer.
func startStream(w http.ResponseWriter) (*stream, error) {
	st := &stream{w: w, ctl: http.NewResponseController(w)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	_ = st.ctl.SetReadDeadline(time.Time{}) // nothing more is read
	return st, st.write("retry: 1000\n\n")
}

// write sends text at once. A reader that takes nothing is given up; it comes
// again and goes on where it was.
func (st *stream) write(text string) error {
	_ = st.ctl.SetWriteDeadline(time.Now().Add(patience))
	if _, err := st.w.Write([]byte(text)); err != nil {
		return err
	}
	return st.ctl.Flush()
}

// send sends an event. id is where a stream begins that is to go on behind it.
func (st *stream) send(kind, id string, data any) error {
	var b bytes.Buffer
	b.WriteString("event: " + kind + "\nid: " + id + "\ndata: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is no part of a page, and half as long
	if err := enc.Encode(data); err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	b.WriteByte('\n')
	return st.write(b.String())
}

// live returns the address of the events of a page that shows all up to seq.
func live(seq uint64, kind, id string) string {
	f := url.Values{"at": {strconv.FormatUint(seq, 10)}}
	if id != "" {
		f.Set(kind, id)
	}
	return "/events?" + f.Encode()
}

// after returns where a stream is to begin: behind the last event that the
// browser has, or else behind what the page shows.
func after(r *http.Request) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return r.URL.Query().Get("at")
}

// selected returns the events that change a page.
func selected(f url.Values) func(ci.Event) bool {
	project, pipeline, workflow, job := f.Get("project"), f.Get("pipeline"), f.Get("workflow"), f.Get("job")
	return func(e ci.Event) bool {
		small := e.Kind == ci.StepStarted || e.Kind == ci.StepEnded || e.Kind == ci.TaskChanged && job == ""
		return !small &&
			(project == "" || string(e.Project) == project) &&
			(pipeline == "" || string(e.Pipeline) == pipeline) &&
			(workflow == "" || string(e.Workflow) == workflow) &&
			(job == "" || string(e.Job) == job)
	}
}

// events streams "change" whenever something on a page has changed: one for
// any number of changes at once. What changed is the page's to ask.
func (s *site) events(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead {
		return errMethod
	}
	seq, err := strconv.ParseUint(after(r), 10, 63)
	if err != nil {
		return fmt.Errorf("events: begin at a number: %w", ci.ErrInvalid)
	}
	leave, err := s.admit()
	if err != nil {
		return err
	}
	defer leave()
	watcher, err := s.hub.watch(r.Context(), seq, selected(r.URL.Query()))
	if err != nil {
		return err
	}
	defer s.hub.leave(watcher)
	st, err := startStream(w)
	if err != nil {
		return nil // the reader is gone
	}
	ctx, cancel := context.WithTimeout(r.Context(), lifetime)
	defer cancel()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.wake:
			err = st.send("change", strconv.FormatUint(watcher.last(), 10), struct{}{})
		case <-ticker.C:
			if err = s.still(r); err == nil {
				err = st.write(":\n\n")
			}
		}
		if err != nil {
			return nil // the reader is gone, or may read no longer
		}
	}
}

// still says whether who began a stream may go on with it: a session that has
// ended must not see what happens later.
func (s *site) still(r *http.Request) error {
	by, err := s.cfg.Authorize(r)
	if err == nil && by != actorOf(r) {
		err = ci.ErrDenied
	}
	return err
}
