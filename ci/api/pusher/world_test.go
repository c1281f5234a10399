package pusher_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/pusher"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

const token = "secret-token"

var ada = ci.Actor{ID: "a", Kind: ci.ActorUser, Login: "ada"}

// A world is a server with projects p, which ada may read, q, which she may
// not, and open.
type world struct {
	t      testing.TB
	db     *memdb.DB
	server *ci.Server
	logs   *storage.Logs
	url    string // of the HTTP server
	stop   func() // the pusher
}

func newWorld(t testing.TB, cfg pusher.Config) *world {
	w := &world{t: t, db: memdb.New(), logs: storage.NewMemLogs()}
	w.server = ci.New(w.db, ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) {
		return ci.Plan{Workflows: []ci.PlannedWorkflow{{Name: "main", Jobs: []ci.PlannedJob{{Name: "build"}}}}}, nil
	}), ci.Config{})
	for _, p := range []ci.Project{{ID: "p", Slug: "gh/acme/p"}, {ID: "q", Slug: "gh/acme/q"}, {ID: "open", Slug: "gh/acme/open", Settings: ci.Settings{Open: true}}} {
		require.NoError(t, w.db.PutProject(t.Context(), p))
	}
	cfg.Secret = "s3cret"
	cfg.Auth = func(_ *http.Request, text string) (ci.Actor, error) {
		if text != token {
			return ci.Actor{}, ci.ErrDenied
		}
		return ada, nil
	}
	cfg.May = func(_ context.Context, by ci.Actor, p ci.Project, write bool) error {
		if by != ada || p.ID == "q" || write {
			return ci.ErrNotFound
		}
		return nil
	}
	s := pusher.New(w.db, w.logs, cfg)
	w.run(w.server.Run)
	w.stop = w.run(func(ctx context.Context) error { return s.Run(ctx, w.server.Follow) })
	hs := httptest.NewServer(s)
	t.Cleanup(hs.Close)
	w.url = hs.URL
	return w
}

func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := f(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = func() { cancel(); <-ended }
	w.t.Cleanup(stop)
	return stop
}

// trigger starts a pipeline of the project and returns its workflow, once its
// job is queued.
func (w *world) trigger(project ci.ProjectID) ci.Workflow {
	w.t.Helper()
	after, err := w.db.LastEvent(w.t.Context())
	require.NoError(w.t, err)
	p, err := w.server.Trigger(w.t.Context(), ci.Trigger{Project: project, Branch: "main", Revision: "r"})
	require.NoError(w.t, err)
	for e, err := range w.server.Follow(w.t.Context(), after) {
		require.NoError(w.t, err)
		if e.Kind == ci.JobQueued && e.Pipeline == p.ID {
			f, err := w.db.Workflow(w.t.Context(), e.Workflow)
			require.NoError(w.t, err)
			return f
		}
	}
	return ci.Workflow{}
}

// lease lets the job of the workflow run.
func (w *world) lease(f ci.Workflow) ci.Lease {
	j := f.Jobs[0]
	task := ci.Task{Job: j.ID, Name: j.Name, Number: j.Number, Workflow: f.ID, Pipeline: f.Pipeline, Project: f.Project, Total: 1}.Slice(0)
	l := ci.Lease{Task: task.ID, Epoch: 1, Worker: "n"}
	require.NoError(w.t, w.db.Backlog().Put(w.t.Context(), 0, ci.Ticket{Task: task, State: ci.TicketLeased, Epoch: 1, Worker: "n"}))
	require.NoError(w.t, w.server.Report(w.t.Context(), ci.Report{Task: l.Task, Epoch: 1, Status: ci.Running}))
	return l
}

// events are those of the channel that the database has after a number.
func (w *world) events(after uint64, is func(ci.Event) bool) (out []uint64) {
	for e, err := range w.db.Events(w.t.Context(), after) {
		require.NoError(w.t, err)
		if is(e) {
			out = append(out, e.Seq)
		}
	}
	return out
}

// A client speaks the protocol by hand.
type client struct {
	t      testing.TB
	w      *world
	ws     *websocket.Conn
	socket string
}

type received struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

// text returns what the data has as a text.
func (m received) text() string {
	var s string
	if json.Unmarshal(m.Data, &s) != nil {
		return string(m.Data)
	}
	return s
}

func (m received) seq(t testing.TB) uint64 {
	var v struct{ Seq uint64 }
	require.NoError(t, json.Unmarshal([]byte(m.text()), &v), m.text())
	return v.Seq
}

func (w *world) dial(path string, header http.Header) (*client, *http.Response, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	ws, r, err := websocket.Dial(ctx, w.url+path, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, r, err
	}
	ws.SetReadLimit(1 << 20)
	w.t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: w.t, w: w, ws: ws}, r, nil
}

// client connects.
func (w *world) client() *client {
	w.t.Helper()
	c, _, err := w.dial("/app/rondo?protocol=7&client=test&version=1", nil)
	require.NoError(w.t, err)
	m := c.next()
	require.Equal(w.t, "pusher:connection_established", m.Event)
	var v struct {
		Socket   string `json:"socket_id"`
		Activity int    `json:"activity_timeout"`
	}
	require.NoError(w.t, json.Unmarshal([]byte(m.text()), &v))
	require.Regexp(w.t, `^\d+\.\d+$`, v.Socket)
	c.socket = v.Socket
	return c
}

func (c *client) say(text string) {
	c.t.Helper()
	require.NoError(c.t, c.ws.Write(c.t.Context(), websocket.MessageText, []byte(text)))
}

// next is the next message.
func (c *client) next() received {
	c.t.Helper()
	m, err := c.read()
	require.NoError(c.t, err)
	return m
}

func (c *client) read() (received, error) { return c.within(20 * time.Second) }

// brief does not wait long; an error ends the connection.
func (c *client) brief() (received, error) { return c.within(100 * time.Millisecond) }

func (c *client) within(d time.Duration) (received, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), d)
	defer cancel()
	_, text, err := c.ws.Read(ctx)
	if err != nil {
		return received{}, err
	}
	var m received
	return m, json.Unmarshal(text, &m)
}

// closed reads until the connection ends and returns with which code.
func (c *client) closed() int {
	c.t.Helper()
	for {
		if _, err := c.read(); err != nil {
			var end websocket.CloseError
			if errors.As(err, &end) {
				return int(end.Code)
			}
			return -1
		}
	}
}

// auth asks for a signature.
func (w *world) auth(token string, form url.Values) (int, map[string]string) {
	req, err := http.NewRequestWithContext(w.t.Context(), "POST", w.url+"/pusher/auth", strings.NewReader(form.Encode()))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Circle-Token", token)
	r, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer r.Body.Close()
	var out map[string]string
	text, err := io.ReadAll(r.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, json.Unmarshal(text, &out), string(text))
	return r.StatusCode, out
}

// subscribe subscribes to a private channel, with the parameters of a
// position, and returns where it begins.
func (c *client) subscribe(channel string, extra ...string) uint64 {
	c.t.Helper()
	form := url.Values{"socket_id": {c.socket}, "channel_name": {channel}}
	for i := 0; i < len(extra); i += 2 {
		form.Set(extra[i], extra[i+1])
	}
	status, answer := c.w.auth(token, form)
	require.Equal(c.t, 200, status)
	data, err := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": map[string]string{"channel": channel, "auth": answer["auth"], "channel_data": answer["channel_data"]}})
	require.NoError(c.t, err)
	c.say(string(data))
	m := c.next()
	require.Equal(c.t, "pusher_internal:subscription_succeeded", m.Event, m.text())
	require.Equal(c.t, channel, m.Channel)
	return m.seq(c.t)
}
