package github_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
)

// TestP3a_ServerOffForAHundredPushes: all are built exactly once after the
// start, in order per branch, though the code host repeats nothing.
func TestP3a_ServerOffForAHundredPushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, _ := w.follow("acme/shop")
		stop := w.run()
		settle()
		var want []string
		branches := []string{"main", "side", "feature/x"}
		heard := func(i int) {
			branch := branches[i%3]
			want = append(want, branch+" "+r.Push(branch, fmt.Sprint("commit ", i), nil))
		}
		for i := range 3 {
			heard(i)
		}
		stop()
		w.off(true)
		for i := range 100 {
			heard(i)
			time.Sleep(30 * time.Minute)
			if i == 50 { // somebody pressed "redeliver" in vain
				d := last(t, r)
				w.redeliver(t, r, d)
			}
		}
		require.Len(t, w.pipelines(), 3)
		w.off(false)
		w.reopen()
		stop = w.run()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		defer func() { stop() }()
		check := func() {
			t.Helper()
			got := map[string][]string{}
			for _, p := range w.pipelines() {
				got[p.Branch] = append(got[p.Branch], p.Branch+" "+p.Revision)
			}
			order := map[string][]string{}
			for i, s := range want {
				b := branches[i%3]
				if i >= 3 {
					b = branches[(i-3)%3]
				}
				order[b] = append(order[b], s)
			}
			require.Equal(t, order, got)
		}
		check()
		time.Sleep(2 * time.Hour) // later looks find nothing new
		synctest.Wait()
		check()
		d := r.Deliveries()[20]
		require.Equal(t, http.StatusAccepted, w.redeliver(t, r, d))
		require.Equal(t, http.StatusOK, last(t, r).Status, last(t, r).Answer)
		check()
	})
}

// redeliver asks the code host to send a delivery again.
func (w *world) redeliver(t *testing.T, r *forgetest.Repo, d forgetest.Delivery) int {
	url := fmt.Sprintf("%s/api/v3/repos/%s/hooks/%d/deliveries/%d/attempts", w.fake.URL(), r.FullName(), d.Hook, d.ID)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+forgetest.Token)
	resp, err := w.fake.Transport().RoundTrip(req)
	require.NoError(t, err)
	return resp.StatusCode
}

// TestP3_WebhookGone: somebody removed the webhook while the server was off;
// it is made anew, and the heads tell what was pushed meanwhile.
func TestP3_WebhookGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, _ := w.follow("acme/shop")
		r.Commit("old", "there before, never told", nil)
		stop := w.run()
		settle() // what is there now is written down
		stop()
		r.Commit("old2", "x", nil)
		w.reopen()
		w.off(true)
		r.RemoveHooks()
		r.Push("main", "one", nil)
		main := r.Push("main", "two", nil)
		side := r.Push("side", "three", nil)
		r.Push("quiet", "[skip ci] four", nil)
		time.Sleep(time.Hour)
		w.off(false)
		stop = w.run()
		defer func() { stop() }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Len(t, r.Hooks(), 1)
		got := map[string]string{}
		for _, p := range w.pipelines() {
			got[p.Branch] = p.Revision
		}
		require.Equal(t, main, got["main"])
		require.Equal(t, side, got["side"])
		require.NotContains(t, got, "quiet")
		require.NotContains(t, got, "old")
		n := len(w.pipelines())
		r.Push("main", "five", nil)
		require.Len(t, w.pipelines(), n+1, "the new webhook works")
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		require.Len(t, w.pipelines(), n+1)
	})
}

// TestP3_LongOutage: the code host forgets deliveries after three days; the
// heads still tell.
func TestP3_LongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, _ := w.follow("acme/shop")
		stop := w.run()
		settle()
		stop()
		w.off(true)
		r.Push("main", "forgotten", nil)
		head := r.Push("main", "the head", nil)
		time.Sleep(80 * time.Hour)
		late := r.Push("side", "still known", nil)
		w.off(false)
		w.reopen()
		defer w.run()()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		var got []string
		for _, p := range w.pipelines() {
			got = append(got, p.Revision)
		}
		require.ElementsMatch(t, []string{head, late}, got)
	})
}

// TestTidy: deliveries are forgotten when they can no longer be repeated.
func TestTidy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, _ := w.follow("acme/shop")
		defer w.run()()
		r.Push("main", "one", nil)
		count := func() (n int) {
			for _, err := range w.db.Docs(t.Context(), ci.DocQuery{Kind: "github-delivery", AllScopes: true}) {
				require.NoError(t, err)
				n++
			}
			return n
		}
		require.Equal(t, 2, count(), "the push and the ping")
		time.Sleep(95 * time.Hour)
		synctest.Wait()
		require.Equal(t, 2, count(), "the push and the ping")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Zero(t, count())
	})
}

// TestP3_OvertakenPush: a push that is found after a newer one of its branch is
// built too, unless the newer pipeline would have ended it: then it must not
// end the newer one.
func TestP3_OvertakenPush(t *testing.T) {
	for _, cancels := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			r, p := w.follow("acme/shop")
			w.set(p, ci.Settings{AutoCancel: cancels})
			stop := w.run()
			r.Push("soon", "zero", nil)
			stop()
			w.off(true)
			r.Push("soon", "within the same second", nil)
			r.Push("main", "one", nil)
			r.Push("side", "two", nil)
			time.Sleep(time.Minute)
			r.Push("twice", "three", nil)
			r.Push("twice", "four", nil)
			time.Sleep(time.Minute)
			w.off(false)
			r.Push("main", "five", nil)
			newest := r.Push("side", "six", nil)
			defer w.run()()
			settle()
			var got []string
			for _, p := range w.pipelines() {
				got = append(got, p.Subject)
			}
			want := []string{"zero", "five", "six", "within the same second", "one", "two", "three", "four"}
			if cancels {
				want = slices.DeleteFunc(want, func(s string) bool { return s == "two" })
			}
			require.Equal(t, want, got)
			d, err := w.db.Doc(t.Context(), "github-head", p.RepoID+" refs/heads/side")
			require.NoError(t, err)
			require.Equal(t, `"`+newest+`"`, string(d.Body), "what is known never goes back")
		})
	}
}

// TestFollowAgain: what was pushed while nobody followed is no missed push.
func TestFollowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		r, _ := w.follow("acme/shop")
		r.OpenPull(r, "main", "open before")
		defer w.run()()
		settle()
		_, err := w.host.Follow(t.Context(), "gh/acme/shop", false, ci.Actor{})
		require.NoError(t, err)
		for _, kind := range []string{"github-head", "github-pull", "github-repository"} {
			for d, err := range w.db.Docs(t.Context(), ci.DocQuery{Kind: kind, AllScopes: true}) {
				t.Error(d.ID, err)
			}
		}
		r.Push("main", "unheard", nil)
		w.follow("acme/shop")
		settle()
		r.RemoveHooks() // makes it compare the heads
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, w.pipelines())
		r.Push("main", "heard", nil)
		require.Len(t, w.pipelines(), 1)
		require.Len(t, w.pipelines()[0].PullRequests, 1, "the pull request was open before")
	})
}
