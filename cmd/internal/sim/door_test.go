package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A link is the network between one agent and the door.
type link struct {
	w    *world
	name string // of the task
}

// A request is a call of an agent on its way. It can be delivered twice.
type request struct {
	handOut
	worker string
	op     string // claim, renew, finish, put, append
	step   int
	offset int64 // of an append
	method string
	url    string
	header http.Header
	body   []byte
}

// plain is the name that an agent gave itself; the door adds to it what tells
// apart those with the same one.
func plain(worker string) string {
	name, _, _ := strings.Cut(worker, "/")
	return name
}

// read takes a request apart: /door/v1/tasks/TASK/EPOCH/OP.
func read(r *http.Request) (request, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return request{}, err
		}
	}
	part := strings.Split(r.URL.Path, "/")
	q := request{
		worker: plain(r.URL.Query().Get("worker")), op: part[6],
		method: r.Method, url: r.URL.String(), header: r.Header, body: body,
	}
	q.task = ci.TaskID(part[4])
	q.epoch, _ = strconv.ParseInt(part[5], 10, 64)
	if q.op == "steps" {
		q.op, q.step = "put", -1
		q.step, _ = strconv.Atoi(part[7])
		if len(part) > 8 {
			q.op = "append"
			q.offset, _ = strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
		}
	}
	return q, nil
}

// RoundTrip carries a call, with the faults of networks.
func (l link) RoundTrip(r *http.Request) (*http.Response, error) {
	q, err := read(r)
	if err != nil {
		return nil, err
	}
	w, name := l.w, fmt.Sprintf("%s e%d %s", l.name, q.epoch, q.op)
	d := w.dice
	if !sleep(r.Context(), d.between(100*time.Microsecond, 20*time.Millisecond, name)) {
		return nil, r.Context().Err()
	}
	if w.cut(q.handOut) || d.strikes("door: request lost", name) {
		w.trace.say("fault   %s: request lost", name)
		if d.n(2, name, "hangs") == 0 {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return nil, errBroken
	}
	if d.strikes("door: twice", name) {
		again := d.between(0, 10*time.Minute, name, "again")
		w.later.Go(func() {
			time.Sleep(again)
			w.trace.say("fault   %s: comes again", name)
			w.deliver(context.Background(), q)
		})
	}
	answer := make(chan *httptest.ResponseRecorder, 1)
	wait := time.Duration(0)
	if d.strikes("door: late", name) {
		wait = d.between(time.Second, 5*time.Minute, name, "late")
		w.trace.say("fault   %s: comes %s late", name, wait)
	}
	w.later.Go(func() {
		time.Sleep(wait)
		answer <- w.deliver(context.Background(), q)
	})
	var got *httptest.ResponseRecorder
	select {
	case got = <-answer:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if got == nil {
		return nil, errGone
	}
	if d.strikes("door: answer lost", name) {
		w.trace.say("fault   %s: answer lost", name)
		return nil, errLost
	}
	return got.Result(), nil
}

// deliver gives a request to the server that lives now; nil is no answer.
func (w *world) deliver(ctx context.Context, q request) *httptest.ResponseRecorder {
	life := w.now()
	if life == nil || life.out.dead.Load() {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(q.body))
	if err != nil {
		w.trace.breaks("request of an agent: %v", err)
		return nil
	}
	r.Header = q.header
	rec := httptest.NewRecorder()
	began := w.border.tick()
	life.handler.ServeHTTP(rec, r)
	if life.out.dead.Load() {
		return nil
	}
	w.border.saw(w, q, began, rec.Code, rec.Body.Bytes())
	return rec
}

// next reads the answer to an append.
func next(body []byte) int64 {
	var a struct{ Next int64 }
	_ = json.Unmarshal(body, &a)
	return a.Next
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
