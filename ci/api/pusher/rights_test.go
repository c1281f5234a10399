package pusher_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/pusher"
)

// SEC-08: the connection of a token that was taken back, or of a session that
// has ended, ends too; those of others stay.
func TestSEC08_RevokedTokenEndsTheConnection(t *testing.T) {
	var asked atomic.Int64
	var revoked atomic.Bool
	w := newWorld(t, pusher.Config{Tickets: pusher.Tickets{
		Every: 10 * time.Millisecond,
		Name:  func(_ *http.Request, text string) string { return "hash of " + text },
		Still: func(_ context.Context, ticket string) (ci.Actor, error) {
			asked.Add(1)
			if ticket != "hash of "+token || revoked.Load() {
				return ci.Actor{}, ci.ErrDenied
			}
			return ada, nil
		},
	}})
	c, open := w.client(), w.client()
	c.subscribe("private-project-p")
	open.say(`{"event":"pusher:subscribe","data":{"channel":"project-open"}}`)
	require.Equal(t, "pusher_internal:subscription_succeeded", open.next().Event)
	require.Eventually(t, func() bool { return asked.Load() > 2 }, 20*time.Second, time.Millisecond)
	w.trigger("p")
	require.Equal(t, "pipeline.created", c.next().Event, "it is asked about, and stays")
	revoked.Store(true)
	require.Equal(t, 4009, c.closed())
	w.trigger("open")
	require.Equal(t, "pipeline.created", open.next().Event)

	// A signature with another ticket, or with none, is not ours.
	d := w.client()
	status, answer := w.auth(token, url.Values{"socket_id": {d.socket}, "channel_name": {"private-project-p"}})
	require.Equal(t, 200, status)
	parts := strings.Split(answer["auth"], ":")
	require.Len(t, parts, 3)
	for _, forged := range []string{parts[0] + ":" + parts[1], parts[0] + ":" + parts[1] + ":AAAA", parts[0] + ":" + parts[1] + ":", parts[0] + ":" + parts[1] + ":*"} {
		d.say(`{"event":"pusher:subscribe","data":{"channel":"private-project-p","auth":"` + forged + `"}}`)
		require.Equal(t, "pusher:subscription_error", d.next().Event, forged)
	}
}
