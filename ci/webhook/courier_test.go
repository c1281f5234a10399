package webhook_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/webhook"
)

func TestSignature(t *testing.T) {
	require.Equal(t, "v1=734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a", webhook.Signature([]byte("secret"), []byte("hello world")))
	require.Equal(t, "v1=daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00", webhook.Signature([]byte("another-secret"), []byte("lalala")))
}

// One pipeline: two jobs and a workflow end, an approval tells nothing. The
// messages are what the API promises.
func TestCourier_Messages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.text = strings.Repeat("ü", 1<<19)
		c := w.courier()
		h := w.put(c, ci.Webhook{Secret: "very secret"})
		w.put(c, ci.Webhook{Name: "jobs", Events: []string{webhook.JobCompleted}, URL: "https://jobs.test/"})
		w.run(c.Run)
		synctest.Wait()
		w.build(ci.Success)
		time.Sleep(time.Millisecond)
		w.put(c, ci.Webhook{Name: "too late", URL: "https://late.test/"})
		time.Sleep(time.Second)
		synctest.Wait()

		hosts := map[string]int{}
		ids := map[string]bool{}
		for _, l := range w.got.letters() {
			hosts[l.host]++
			body := w.valid(l.body)
			ids[body["id"].(string)] = true
			require.Equal(t, "application/json", l.header.Get("content-type"))
			require.Equal(t, "CircleCI-Webhook/1.0", l.header.Get("user-agent"))
			require.Equal(t, body["type"], l.header.Get("circleci-event-type"))
			require.Less(t, len(l.body), 200<<10)
			if l.host != "chat.test" {
				require.Empty(t, l.header.Values("circleci-signature"))
				continue
			}
			require.Equal(t, webhook.Signature([]byte("very secret"), []byte(l.body)), l.header.Get("circleci-signature"))
			require.Equal(t, map[string]any{"id": h.ID, "name": "chat"}, body["webhook"])
			require.Equal(t, "github/acme/shop", body["project"].(map[string]any)["slug"])
			vcs := body["pipeline"].(map[string]any)["vcs"].(map[string]any)
			require.Equal(t, "https://github.com/acme/shop", vcs["target_repository_url"])
			require.Equal(t, map[string]any{"name": "Ada", "email": "ada@acme.test"}, vcs["commit"].(map[string]any)["author"])
		}
		require.Equal(t, map[string]int{"chat.test": 3, "jobs.test": 2}, hosts)
		require.Len(t, ids, 5)
		log, err := c.Deliveries(t.Context(), h.ID)
		require.NoError(t, err)
		require.Len(t, log, 3)
		for _, d := range log {
			require.Equal(t, "delivered", d.State)
			require.Equal(t, [2]int{1, 200}, [2]int{d.Attempts, d.Status})
		}

		// Seven days later the log is empty.
		time.Sleep(7*24*time.Hour + time.Minute)
		synctest.Wait()
		log, err = c.Deliveries(t.Context(), h.ID)
		require.NoError(t, err)
		require.Empty(t, log)
		require.Len(t, w.got.letters(), 5)
	})
}

// A folder has no address, but a branch and a commit; and the organisation is
// called as the API calls it.
func TestCourier_Folder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		require.NoError(t, w.db.PutProject(t.Context(), ci.Project{ID: "p", Slug: "local/src/shop", Org: "src", Repo: "shop", CloneURL: "/home/ada/src/shop"}))
		c := w.courier()
		w.put(c, ci.Webhook{})
		w.run(c.Run)
		synctest.Wait()
		w.build(ci.Failed)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, w.got.letters(), 2)
		for _, l := range w.got.letters() {
			body := w.valid(l.body)
			require.Equal(t, map[string]any{"id": ci.OrgID("local/src"), "name": "src"}, body["organization"])
			vcs := body["pipeline"].(map[string]any)["vcs"].(map[string]any)
			require.Equal(t, []any{"local", "main", "abc"}, []any{vcs["provider_name"], vcs["branch"], vcs["revision"]})
			require.NotContains(t, l.body, "/home/ada")
		}
	})
}

func TestCourier_Statuses(t *testing.T) {
	for status, want := range map[ci.Status]string{ci.Failed: "failed", ci.TimedOut: "failed", ci.InfraFailed: "failed", ci.Canceled: "canceled"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			c := w.courier()
			w.put(c, ci.Webhook{})
			w.run(c.Run)
			synctest.Wait()
			w.build(status)
			time.Sleep(time.Second)
			synctest.Wait()
			require.Len(t, w.got.letters(), 2, "the jobs that never ran tell nothing")
			for _, l := range w.got.letters() {
				body := w.valid(l.body)
				of := strings.TrimSuffix(body["type"].(string), "-completed")
				require.Equal(t, want, body[of].(map[string]any)["status"])
			}
		})
	}
}

// A receiver that never accepts gets the same bytes for 24 hours, ever less
// often; then the message has failed.
func TestCourier_RetriesFor24Hours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.got.answer = func(ctx context.Context, _ letter, n int) (int, error) {
			switch n % 5 {
			case 0:
				<-ctx.Done() // hangs
				return 0, ctx.Err()
			case 1:
				return 0, errors.New("connection reset by peer")
			}
			return []int{302, 404, 500}[n%3], nil
		}
		c := w.courier()
		h := w.put(c, ci.Webhook{Secret: "s", Events: []string{webhook.WorkflowCompleted}})
		stop := w.run(c.Run)
		synctest.Wait()
		w.build(ci.Success)
		time.Sleep(12 * time.Hour)
		log, err := c.Deliveries(t.Context(), h.ID)
		require.NoError(t, err)
		require.Equal(t, "pending", log[0].State)
		require.True(t, log[0].Next.After(time.Now()) && log[0].Next.Sub(log[0].Tried) <= time.Hour+10*time.Second)
		stop() // another process goes on
		w.run(w.courier().Run)
		time.Sleep(13 * time.Hour)
		synctest.Wait()

		seen := w.got.letters()
		require.Greater(t, len(seen), 30)
		require.Less(t, len(seen), 70)
		for _, l := range seen {
			require.Equal(t, seen[0].body, l.body)
			require.Equal(t, seen[0].header, l.header)
		}
		last := seen[len(seen)-1].at.Sub(seen[0].at)
		require.True(t, last >= 24*time.Hour-time.Second && last < 24*time.Hour+time.Minute, "%v", last)
		require.Less(t, seen[1].at.Sub(seen[0].at), 10*time.Second)
		log, err = c.Deliveries(t.Context(), h.ID)
		require.NoError(t, err)
		require.Equal(t, "failed", log[0].State)
		require.Equal(t, len(seen), log[0].Attempts)
		require.NotEmpty(t, log[0].Error)
		require.True(t, log[0].Next.IsZero())
	})
}

// lossy are documents whose writes fail when lose says so.
type lossy struct {
	books
	lose func(changes []ci.DocChange) bool
}

type books = ci.Docs

func (l lossy) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	if l.lose(changes) {
		return nil, errors.New("the power has gone")
	}
	return l.books.WriteDocs(ctx, changes...)
}

// P1: each event gets into the outbox once, whatever crashes, and from there
// out at least once.
func TestP1_Outbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var forgot atomic.Bool
		docs := lossy{w.db, func(changes []ci.DocChange) bool {
			// What a receiver has taken is forgotten at least once.
			taken := strings.Contains(string(changes[0].Doc.Body), `"state":"delivered"`)
			return taken && forgot.CompareAndSwap(false, true) || rand.IntN(4) == 0
		}}
		c := w.courier()
		h := w.put(c, ci.Webhook{})
		// The cursor begins here.
		begin := w.run(c.Run)
		synctest.Wait()
		begin()
		w.cfg.AtOnce = 1
		stop := w.run(webhook.New(docs, w.db, w.cfg).Run)
		for i := range 20 {
			w.build(ci.Success)
			if i%5 == 0 { // restarts in between
				stop()
				stop = w.run(webhook.New(docs, w.db, w.cfg).Run)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		seen := map[string]string{}
		for _, l := range w.got.letters() {
			id := w.valid(l.body)["id"].(string)
			require.Equal(t, l.body, first(seen, id, l.body))
		}
		log, err := c.Deliveries(t.Context(), h.ID)
		require.NoError(t, err)
		require.Len(t, log, 60, "two jobs and a workflow each")
		require.Len(t, seen, 60)
		require.Greater(t, len(w.got.letters()), 60, "some came twice")
		for _, d := range log {
			require.Equal(t, "delivered", d.State)
		}
	})
}

// A049: however long the names and the text of one project are, the others'
// messages follow.
func TestA049_LongNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.courier()
		w.put(c, ci.Webhook{})
		w.run(c.Run)
		synctest.Wait()
		for _, name := range []string{strings.Repeat("\x01", 2*ci.MaxDoc), strings.Repeat("<", 2*ci.MaxDoc), ""} {
			w.name, w.text = name, name
			w.build(ci.Success)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, w.got.letters(), 9)
		plain := 0
		for _, l := range w.got.letters() {
			require.Less(t, len(l.body), 512<<10)
			if w.valid(l.body)["workflow"].(map[string]any)["name"] == "main" {
				plain++
			}
		}
		require.Equal(t, 3, plain)
	})
}

func first(seen map[string]string, id, body string) string {
	if _, ok := seen[id]; !ok {
		seen[id] = body
	}
	return seen[id]
}

// Two servers on one database send each message once.
func TestP1_TwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.courier()
		w.put(c, ci.Webhook{})
		w.run(c.Run)
		synctest.Wait()
		w.run(w.courier().Run)
		for range 20 {
			w.build(ci.Success)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, w.got.letters(), 60)
	})
}

// Also while a receiver takes its time.
func TestP1_TwoServersSlowReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.got.answer = func(ctx context.Context, _ letter, _ int) (int, error) {
			select {
			case <-time.After(8 * time.Second):
				return 200, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		w.cfg.PerHook = 64
		c := w.courier()
		w.put(c, ci.Webhook{})
		w.run(c.Run)
		w.run(w.courier().Run)
		synctest.Wait()
		for range 20 {
			w.build(ci.Success)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 60, len(w.got.letters()))
	})
}

// A project has no more webhooks than an event can be told to at once.
func TestPutWebhook_Many(t *testing.T) {
	w := newWorld(t)
	c := w.courier()
	var last ci.Webhook
	for range webhook.MaxWebhooks {
		last = w.put(c, ci.Webhook{})
	}
	_, err := c.PutWebhook(t.Context(), ci.Webhook{Project: "p", Name: "more", URL: last.URL, Events: last.Events}, alice)
	require.ErrorIs(t, err, ci.ErrConflict)
	require.ErrorContains(t, err, "delete one")
	w.put(c, last) // those that are there can be changed
}

// Slow receivers hold up neither others nor more than their share.
func TestCourier_SlowReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.AtOnce, w.cfg.PerHook = 16, 3
		w.got.answer = func(ctx context.Context, l letter, _ int) (int, error) {
			if strings.HasPrefix(l.host, "slow") {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 204, nil
		}
		c := w.courier()
		for _, name := range []string{"slow1", "slow2", "slow3", "slow4", "good"} {
			w.put(c, ci.Webhook{Name: name, URL: "http://" + name + ".test:8080/"})
		}
		w.run(c.Run)
		synctest.Wait()
		begun := time.Now()
		for range 30 {
			w.build(ci.Success)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		good := slices.DeleteFunc(w.got.letters(), func(l letter) bool { return !strings.HasPrefix(l.host, "good") })
		require.Equal(t, 90, len(good))
		for _, l := range good {
			require.Less(t, l.at.Sub(begun), time.Second)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.LessOrEqual(t, w.got.most, 4*3+3)
	})
}

// A deleted webhook gets nothing more; a stopped server gives back what it was
// at.
func TestCourier_DeleteAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.got.answer = func(ctx context.Context, l letter, n int) (int, error) {
			if n == 1 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 500, nil
		}
		c := w.courier()
		h := w.put(c, ci.Webhook{Events: []string{webhook.WorkflowCompleted}})
		stop := w.run(c.Run)
		synctest.Wait()
		w.build(ci.Success)
		synctest.Wait()
		stop()
		log, err := c.Deliveries(t.Context(), h.ID)
		require.NoError(t, err)
		require.Zero(t, log[0].Attempts, "not the receiver's fault")
		w.run(w.courier().Run)
		time.Sleep(time.Second)
		require.Len(t, w.got.letters(), 2)
		require.NoError(t, c.DeleteWebhook(t.Context(), h.ID, alice))
		require.ErrorIs(t, c.DeleteWebhook(t.Context(), h.ID, alice), ci.ErrNotFound)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, w.got.letters(), 2)
		for d, err := range w.db.Docs(t.Context(), ci.DocQuery{Kind: "webhook-delivery", AllScopes: true}) {
			t.Error(d, err)
		}
	})
}
