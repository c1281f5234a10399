package pusher_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/pusher"
)

// The words of the protocol.
func TestSEC06_Protocol(t *testing.T) {
	w := newWorld(t, pusher.Config{Connections: 2})
	for path, code := range map[string]int{
		"/app/other?protocol=7": 4001, "/app/rondo": 4008, "/app/rondo?protocol=4": 4007, "/app/rondo?protocol=77": 4007, "/app/rondo?protocol=x": 4007,
	} {
		c, _, err := w.dial(path, nil)
		require.NoError(t, err)
		m := c.next()
		require.Equal(t, "pusher:error", m.Event)
		require.Contains(t, string(m.Data), fmt.Sprintf(`"code":%d`, code))
		require.Equal(t, code, c.closed(), path)
	}
	c := w.client()
	c.say(`{"event":"pusher:ping","data":{}}`)
	require.Equal(t, "pusher:pong", c.next().Event)
	for _, text := range []string{`{"event":"client-typing","channel":"private-project-p","data":{}}`, `{"event":"pusher:signin","data":{}}`, `nonsense`, `[]`, `{"event":"pusher:subscribe","data":"x"}`, `{"event":"pusher:subscribe"}`} {
		c.say(text)
		m := c.next()
		require.Equal(t, "pusher:error", m.Event, text)
		require.Contains(t, string(m.Data), `"code":4301`)
	}
	other := w.client()
	full, _, err := w.dial("/app/rondo?protocol=7", nil)
	require.NoError(t, err)
	require.Equal(t, 4100, full.closed())
	require.NoError(t, other.ws.Close(websocket.StatusNormalClosure, ""))
	r, err := http.Get(w.url + "/app/rondo?protocol=7")
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, http.StatusUpgradeRequired, r.StatusCode)
	w.stop()
	require.Equal(t, 4200, c.closed(), "come back")
}

func TestSEC06_PrivateChannels(t *testing.T) {
	w := newWorld(t, pusher.Config{})
	f := w.trigger("p")
	secret := w.trigger("q")
	c := w.client()
	form := func(channel string) url.Values { return url.Values{"socket_id": {c.socket}, "channel_name": {channel}} }
	status, _ := w.auth("wrong", form("private-project-p"))
	require.Equal(t, 401, status)
	for _, channel := range []string{"private-project-q", "private-project-nobody", "private-pipeline-" + string(secret.Pipeline), "private-workflow-" + string(secret.ID), "private-job-" + string(secret.Jobs[0].ID), "private-", "private-x-y", "private-encrypted-p", "presence-project-p", "project-p", ""} {
		status, answer := w.auth(token, form(channel))
		require.Equal(t, 403, status, channel)
		require.Empty(t, answer["auth"])
	}
	for _, bad := range []url.Values{{"channel_name": {"private-project-p"}}, {"socket_id": {"1:private-project-q:1.1"}, "channel_name": {"private-project-p"}}, {"socket_id": {"1.1"}, "channel_name": {"private-project-p"}, "after": {"-1"}}} {
		status, _ := w.auth(token, bad)
		require.Equal(t, 400, status)
	}
	refused := func(text string, status int) {
		t.Helper()
		c.say(text)
		m := c.next()
		require.Equal(t, "pusher:subscription_error", m.Event)
		require.Contains(t, m.text(), fmt.Sprintf(`"status":%d`, status))
	}
	refused(`{"event":"pusher:subscribe","data":{"channel":"private-project-p"}}`, 401)
	refused(`{"event":"pusher:subscribe","data":{"channel":"private-project-p","auth":"rondo:00"}}`, 401)
	// A signature is good for its connection and channel only.
	other := w.client()
	_, answer := w.auth(token, url.Values{"socket_id": {other.socket}, "channel_name": {"private-project-p"}})
	refused(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-project-p","auth":%q}}`, answer["auth"]), 401)
	_, answer = w.auth(token, form("private-project-p"))
	refused(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"private-project-q","auth":%q}}`, answer["auth"]), 401)
	refused(`{"event":"pusher:subscribe","data":{"channel":"project-p"}}`, 403)
	refused(`{"event":"pusher:subscribe","data":{"channel":"presence-project-open"}}`, 403)
	refused(`{"event":"pusher:subscribe","data":{"channel":"`+strings.Repeat("x", 300)+`"}}`, 400)

	c.say(`{"event":"pusher:subscribe","data":{"channel":"project-open"}}`)
	require.Equal(t, "pusher_internal:subscription_succeeded", c.next().Event)
	refused(`{"event":"pusher:subscribe","data":{"channel":"project-open"}}`, 400)
	for _, channel := range []string{"private-project-p", "private-pipeline-" + string(f.Pipeline), "private-workflow-" + string(f.ID), "private-job-" + string(f.Jobs[0].ID)} {
		c.subscribe(channel)
	}
	w.lease(f)
	seen := map[string][]string{}
	for range 4 { // the job's own event on all channels
		m := c.next()
		seen[m.Event] = append(seen[m.Event], m.Channel)
	}
	require.Len(t, seen["job.started"], 4)
	c.say(`{"event":"pusher:unsubscribe","data":{"channel":"private-project-p"}}`)
	c.say(`{"event":"pusher:ping","data":{}}`)
	require.Equal(t, "pusher:pong", c.next().Event)
	w.trigger("p")
	w.trigger("q")
	last := w.trigger("open")
	for {
		m := c.next()
		require.Equal(t, "project-open", m.Channel)
		var e ci.Event
		require.NoError(t, json.Unmarshal([]byte(m.text()), &e))
		require.Equal(t, ci.ProjectID("open"), e.Project)
		if e.Kind == ci.JobQueued {
			require.Equal(t, last.ID, e.Workflow)
			break
		}
	}
}

// A152: pages of strangers, floods, giants and the dead.
func TestA152_HostileClients(t *testing.T) {
	w := newWorld(t, pusher.Config{Origins: []string{"ci.acme.test"}})
	for origin, ok := range map[string]bool{
		"": true, w.url: true, "https://ci.acme.test": true, "https://e": false, "null": false, "https://ci.acme.test.e": false, "https://xci.acme.test": false, "https://ci.acme.test:8443": false,
	} {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		_, r, err := w.dial("/app/rondo?protocol=7", h)
		require.Equal(t, ok, err == nil, "%s: %v", origin, err)
		if !ok {
			require.Equal(t, 403, r.StatusCode, origin)
		}
	}
	c := w.client()
	go func() {
		for range 1000 {
			if c.ws.Write(t.Context(), websocket.MessageText, []byte(`{"event":"pusher:pong"}`)) != nil {
				return
			}
		}
	}()
	require.Contains(t, []int{4100, -1}, c.closed())
	c = w.client()
	_ = c.ws.Write(t.Context(), websocket.MessageText, make([]byte, 1<<20))
	require.Contains(t, []int{1009, 4200, -1}, c.closed())
	c = w.client()
	for i := range 201 {
		c.say(fmt.Sprintf(`{"event":"pusher:unsubscribe","data":{"channel":"%d"}}`, i))
	}
	c.say(`{"event":"pusher:ping","data":{}}`)
	require.Equal(t, "pusher:pong", c.next().Event)
}

func TestSEC06_SilentClients(t *testing.T) {
	w := newWorld(t, pusher.Config{Activity: 50 * time.Millisecond})
	c := w.client()
	require.Equal(t, "pusher:ping", c.next().Event)
	c.say(`{"event":"pusher:pong","data":{}}`)
	require.Equal(t, "pusher:ping", c.next().Event)
	require.Equal(t, 4201, c.closed())
}

func TestSEC06_SessionEnds(t *testing.T) {
	w := newWorld(t, pusher.Config{Session: 50 * time.Millisecond})
	require.Equal(t, 4200, w.client().closed())
}

// Most channels of one connection.
func TestSEC06_ManyChannels(t *testing.T) {
	w := newWorld(t, pusher.Config{})
	c := w.client()
	for i := range 201 {
		id := ci.ProjectID(fmt.Sprint("open", i))
		require.NoError(t, w.db.PutProject(t.Context(), ci.Project{ID: id, Slug: "gh/acme/" + string(id), Settings: ci.Settings{Open: true}}))
		c.say(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"project-%s"}}`, id))
		m := c.next()
		if i < 200 {
			require.Equal(t, "pusher_internal:subscription_succeeded", m.Event)
		} else {
			require.Contains(t, m.text(), `"status":429`)
		}
	}
}
