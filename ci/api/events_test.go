package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// An sse is one server-sent event.
type sse struct{ kind, id, data string }

// stream opens a stream of events and returns a function that reads the next.
func (w *world) stream(path, last string) (next func() (sse, bool), stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", w.url+"/api/v2"+path, nil)
	require.NoError(w.t, err)
	r.Header.Set("Circle-Token", token)
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(w.t, err)
	require.Equal(w.t, 200, res.StatusCode)
	require.True(w.t, strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream"))
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	stop = func() { cancel(); _ = res.Body.Close() }
	w.t.Cleanup(stop)
	return func() (e sse, ok bool) {
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.kind = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.kind != "" {
					return e, true
				}
			}
		}
		return e, false
	}, stop
}

func TestP8_EventsResume(t *testing.T) {
	w := newWorld(t)
	w.trigger(ci.Trigger{})
	next, stop := w.stream("/rondo/events", "")
	hello, ok := next()
	require.True(t, ok)
	require.Equal(t, "hello", hello.kind)
	start, err := strconv.ParseUint(hello.id, 10, 64)
	require.NoError(t, err)
	require.Positive(t, start, "only what comes")

	for range 10 {
		w.trigger(ci.Trigger{})
	}
	// Read a few, come back with the last number, until all are read.
	newest, err := w.db.LastEvent(context.Background())
	require.NoError(t, err)
	var got []uint64
	last := hello.id
	for len(got) == 0 || got[len(got)-1] < newest {
		for range 3 {
			e, ok := next()
			require.True(t, ok)
			if e.kind == "hello" {
				require.Equal(t, last, e.id)
				continue
			}
			var event ci.Event
			require.NoError(t, json.Unmarshal([]byte(e.data), &event))
			require.Equal(t, fmt.Sprint(event.Seq), e.id)
			require.Equal(t, string(event.Kind), e.kind)
			got = append(got, event.Seq)
			if last = e.id; event.Seq == newest {
				break
			}
		}
		stop()
		next, stop = w.stream("/rondo/events", last)
	}
	for i, seq := range got {
		require.Equal(t, start+uint64(i)+1, seq, "no gap, no repeat")
	}
}

func TestEventsChosen(t *testing.T) {
	w := newWorld(t)
	a, b := w.trigger(ci.Trigger{}), w.trigger(ci.Trigger{})
	f := w.workflow(b)
	for q, check := range map[string]func(ci.Event) bool{
		"&pipeline=" + string(b.ID):             func(e ci.Event) bool { return e.Pipeline == b.ID },
		"&workflow=" + string(f.ID):             func(e ci.Event) bool { return e.Workflow == f.ID },
		"&project=github%2Facme%2Fshop":         func(ci.Event) bool { return true },
		"&project=" + string(a.Trigger.Project): func(ci.Event) bool { return true },
	} {
		next, stop := w.stream("/rondo/events?after=0"+q, "")
		for i := range 3 {
			e, ok := next()
			require.True(t, ok)
			if i > 0 {
				var event ci.Event
				require.NoError(t, json.Unmarshal([]byte(e.data), &event))
				require.True(t, check(event), "%s: %+v", q, event)
			}
		}
		stop()
	}
	for _, bad := range []string{"after=x", "after=-1", "after=99999999999999999999"} {
		require.Equal(t, 400, w.call("GET", "/api/v2/rondo/events?"+bad, "").StatusCode)
	}
	require.Equal(t, 404, w.call("GET", "/api/v2/rondo/events?project=gh/a/b", "").StatusCode)
}

func TestP8_LogEventsResume(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	f := w.workflow(w.trigger(ci.Trigger{}))
	l := w.run(f, "build", 0)
	key := ci.LogKey{Task: l.Task, Epoch: 1, Step: 0}
	text := "grüße 日本 🎉\n\x1b[0m" + strings.Repeat("é", 100)
	go func() { // one byte at a time: characters come in pieces
		for i := range len(text) {
			_, _ = w.logs.Append(ctx, key, int64(i), []byte{text[i]})
		}
		_, _ = w.logs.Append(ctx, key, int64(len(text)), []byte("\xff\xe6")) // and the last one not at all
		_ = w.logs.End(ctx, l.Task, 1)
	}()
	path := "/rondo/log?task=" + string(l.Task)
	next, stop := w.stream(path, "")
	var got strings.Builder
	for n := 1; ; n++ {
		e, ok := next()
		require.True(t, ok)
		if e.kind == "end" {
			require.Equal(t, fmt.Sprint(len(text)+2), e.id)
			break
		}
		var chunk string
		require.NoError(t, json.Unmarshal([]byte(e.data), &chunk))
		got.WriteString(chunk)
		if n%5 == 0 { // the connection breaks
			stop()
			next, stop = w.stream(path, e.id)
		}
	}
	stop()
	require.Equal(t, text+"\ufffd\ufffd", got.String())
	require.Equal(t, 400, w.call("GET", "/api/v2"+path, "", func(r *http.Request) {
		r.Header.Set("Accept", "text/event-stream")
		r.Header.Set("Last-Event-ID", "x")
	}).StatusCode)
}

func TestStreamsEndWithTheToken(t *testing.T) {
	var revoked atomic.Bool
	w := newWorld(t, func(c *api.Config) {
		auth := c.Auth
		c.Auth = func(r *http.Request, given string) (ci.Actor, error) {
			if revoked.Load() {
				return ci.Actor{}, ci.ErrDenied
			}
			return auth(r, given)
		}
	})
	ctx := context.Background()
	l := w.run(w.workflow(w.trigger(ci.Trigger{})), "build", 0)
	events, _ := w.stream("/rondo/events", "")
	_, ok := events()
	require.True(t, ok)
	output, _ := w.stream("/rondo/log?task="+string(l.Task), "")
	key := ci.LogKey{Task: l.Task, Epoch: 1}
	_, err := w.logs.Append(ctx, key, 0, []byte("a"))
	require.NoError(t, err)
	e, ok := output()
	require.True(t, ok)
	require.Equal(t, `"a"`, e.data)
	revoked.Store(true)
	time.Sleep(1100 * time.Millisecond)
	_, err = w.logs.Append(ctx, key, 1, []byte("secret"))
	require.NoError(t, err)
	w.report(l, ci.Failed, "secret")
	_, ok = output()
	require.False(t, ok)
	_, ok = events()
	require.False(t, ok)
}
