package github_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
)

// A post is a webhook that a test sends by hand.
type post struct {
	event, guid, body, signature, kind string
	header                             http.Header
}

// send sends it; what is not set is as it should be, "-" leaves it out.
func (w *world) send(p post) (int, string) {
	if p.kind == "" {
		p.kind = "application/json"
	}
	if p.guid == "" {
		p.guid = ci.NewID()
	}
	if p.signature == "" {
		p.signature = forgetest.Sign(secret, []byte(p.body))
	}
	r := httptest.NewRequest(http.MethodPost, github.HookPath, strings.NewReader(p.body))
	for k, v := range map[string]string{"Content-Type": p.kind, "X-GitHub-Event": p.event, "X-GitHub-Delivery": p.guid, "X-Hub-Signature-256": p.signature} {
		if v != "-" {
			r.Header.Set(k, v)
		}
	}
	for k, v := range p.header {
		r.Header[k] = v
	}
	rec := httptest.NewRecorder()
	w.host.Handler().ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// push returns the body of a push.
func push(repo int64, ref, hash, message string) string {
	b, _ := json.Marshal(map[string]any{
		"ref": ref, "before": strings.Repeat("0", 40), "after": hash, "deleted": false, "sender": map[string]any{"login": "octocat", "id": 7},
		"head_commit": map[string]any{"id": hash, "message": message, "author": map[string]any{"name": "Ada"}},
		"repository":  map[string]any{"id": repo, "full_name": "acme/shop", "default_branch": "main"},
	})
	return string(b)
}

const hash1 = "1111111111111111111111111111111111111111"

// TestSEC08_SignedWebhooks: signed fixtures trigger, a bad signature is 401, a
// replay has no effect.
func TestSEC08_SignedWebhooks(t *testing.T) {
	w := newWorld(t, nil)
	r, _ := w.follow("acme/shop")
	hash := r.Push("main", "one", nil)
	require.Equal(t, http.StatusOK, last(t, r).Status, last(t, r).Answer)
	require.Len(t, w.pipelines(), 1)
	got := w.pipelines()[0]
	require.Equal(t, hash, got.Revision)
	require.Equal(t, ci.Actor{Kind: ci.ActorForge, Login: "octocat", ID: got.Actor.ID}, got.Actor)

	d := last(t, r)
	status, _ := w.send(post{event: d.Event, guid: d.GUID, body: string(d.Payload), signature: forgetest.Sign("not the secret at all, but so long", d.Payload)})
	require.Equal(t, http.StatusUnauthorized, status)
	status, answer := w.send(post{event: d.Event, guid: d.GUID, body: string(d.Payload)})
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, strings.Replace(d.Answer, `"message":"pipeline"`, `"message":"received before"`, 1), answer, "the same pipeline")
	require.Len(t, w.pipelines(), 1)
}

// TestA001_UnsignedHook, and bodies that are refused before they are verified.
func TestA001_UnsignedHook(t *testing.T) {
	w := newWorld(t, nil)
	r, _ := w.follow("acme/shop")
	body := push(r.ID(), "refs/heads/main", hash1, "one")
	right := forgetest.Sign(secret, []byte(body))
	asked, logged := len(w.fake.Asked()), w.log.Len()
	for name, c := range map[string]struct {
		post
		status int
	}{
		"none":     {post{signature: "-"}, 401},
		"empty":    {post{signature: "sha256="}, 401},
		"short":    {post{signature: right[:len(right)-1]}, 401},
		"long":     {post{signature: right + "00"}, 401},
		"no kind":  {post{signature: strings.TrimPrefix(right, "sha256=")}, 401},
		"sha1":     {post{signature: strings.Replace(right, "sha256", "sha1", 1)}, 401},
		"other":    {post{signature: forgetest.Sign(secret, []byte("other"))}, 401},
		"two":      {post{header: http.Header{"X-Hub-Signature-256": {right, forgetest.Sign(secret, nil)}}}, 400},
		"encoded":  {post{header: http.Header{"Content-Encoding": {"gzip"}}}, 415},
		"text":     {post{kind: "text/plain"}, 415},
		"no type":  {post{kind: "-"}, 415},
		"bad type": {post{kind: "application/json;;;"}, 415},
	} {
		c.event, c.body = "push", body
		status, answer := w.send(c.post)
		require.Equal(t, c.status, status, "%s: %s", name, answer)
		require.NotContains(t, answer, "acme")
	}
	require.Empty(t, w.pipelines())
	require.Len(t, w.fake.Asked(), asked, "nothing was asked of the code host")
	require.NotContains(t, w.log.String()[logged:], "octocat")
	require.LessOrEqual(t, strings.Count(w.log.String()[logged:], "webhook refused"), 1, "one line in ten seconds")
	for d, err := range w.db.Docs(t.Context(), ci.DocQuery{Kind: "github-delivery", AllScopes: true}) {
		require.NoError(t, err)
		require.Contains(t, string(d.Body), "ping")
	}
	rec := httptest.NewRecorder()
	w.host.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, github.HookPath, nil))
	require.Equal(t, 405, rec.Code)
}

// TestA002_NoSecret: without a good secret nothing is accepted, whoever signs.
func TestA002_NoSecret(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("x", 31)} {
		w := newWorld(t, nil)
		r, _ := w.follow("acme/shop")
		w.secrets = map[ci.ProjectID][]string{"": {s}}
		body := push(r.ID(), "refs/heads/main", hash1, "one")
		status, _ := w.send(post{event: "push", body: body, signature: forgetest.Sign(s, []byte(body))})
		require.Equal(t, http.StatusConflict, status)
		_, err := w.host.Follow(t.Context(), "gh/acme/shop", true, ci.Actor{})
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.Empty(t, w.pipelines())
	}
}

// TestA004_ForeignRepository: what a secret signs is believed of its project
// only, and a project with a secret of its own takes no other.
func TestA004_ForeignRepository(t *testing.T) {
	w := newWorld(t, nil)
	evil, pe := w.follow("evil/x")
	priv, pp := w.follow("acme/priv")
	own := strings.Repeat("e", 40)
	w.secrets[pe.ID] = []string{own, strings.Repeat("f", 40)}
	_, err := w.host.Follow(t.Context(), "gh/evil/x", true, ci.Actor{})
	require.NoError(t, err)
	require.Equal(t, own, evil.Hooks()[0].Secret, "following again brings the hook up to date")

	hook := http.Header{"X-Github-Hook-Id": {fmt.Sprint(evil.Hooks()[0].ID)}}
	foreign := push(priv.ID(), "refs/heads/main", hash1, "one")
	unknown := push(999999, "refs/heads/main", hash1, "one")
	mine := push(evil.ID(), "refs/heads/main", hash1, "one")
	var answers []string
	for _, p := range []post{
		{body: foreign, signature: forgetest.Sign(own, []byte(foreign)), header: hook}, // another's repository
		{body: unknown, signature: forgetest.Sign(own, []byte(unknown)), header: hook}, // nobody's
		{body: unknown}, // nobody's, by the installation
		{body: mine},    // its own, but with the installation's secret
	} {
		p.event = "push"
		status, answer := w.send(p)
		require.Equal(t, http.StatusNotFound, status)
		answers = append(answers, answer)
	}
	for _, a := range answers {
		require.Equal(t, answers[0], a, "no leak of which")
	}
	require.Empty(t, w.pipelines())

	status, answer := w.send(post{event: "push", body: mine, signature: forgetest.Sign(strings.Repeat("f", 40), []byte(mine)), header: hook})
	require.Equal(t, http.StatusOK, status, "%s: the secret before the rotation", answer)
	status, _ = w.send(post{event: "push", body: foreign})
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, []ci.ProjectID{pe.ID, pp.ID}, []ci.ProjectID{w.pipelines()[0].Project, w.pipelines()[1].Project})

	_, err = w.host.Follow(t.Context(), "gh/acme/priv", false, ci.Actor{})
	require.NoError(t, err)
	status, _ = w.send(post{event: "push", body: push(priv.ID(), "refs/heads/main", strings.Repeat("2", 40), "two")})
	require.Equal(t, http.StatusNotFound, status, "not followed any more")
}

// TestA006_Replay: the same delivery a hundred times at once, the same content
// under new names, the same name with other content.
func TestA006_Replay(t *testing.T) {
	w := newWorld(t, nil)
	r, _ := w.follow("acme/shop")
	body := push(r.ID(), "refs/heads/main", hash1, "one")
	send := func(n int, guid func(int) string) map[string]bool {
		var mu sync.Mutex
		var wg sync.WaitGroup
		answers := map[string]bool{}
		for i := range n {
			wg.Go(func() {
				status, answer := w.send(post{event: "push", guid: guid(i), body: body})
				var a struct{ Pipeline string }
				_ = json.Unmarshal([]byte(answer), &a)
				mu.Lock()
				defer mu.Unlock()
				answers[fmt.Sprint(status, a.Pipeline)] = true
			})
		}
		wg.Wait()
		return answers
	}
	one := send(100, func(int) string { return "the-same" })
	require.Len(t, one, 1, "every answer is the same")
	require.Equal(t, one, send(100, func(i int) string { return fmt.Sprint("new-", i) }))
	require.Len(t, w.pipelines(), 1)

	status, _ := w.send(post{event: "push", guid: "the-same", body: push(r.ID(), "refs/heads/main", strings.Repeat("2", 40), "two")})
	require.Equal(t, http.StatusConflict, status)
	status, _ = w.send(post{event: "push", body: strings.Replace(body, "octocat", "hubot", 1)})
	require.Equal(t, http.StatusOK, status, "the same push, told by another hook")
	status, _ = w.send(post{event: "pull_request", body: body})
	require.Equal(t, http.StatusUnprocessableEntity, status, "the name of the event is not signed")
	require.Len(t, w.pipelines(), 1)
	w.reopen()
	require.Equal(t, one, send(100, func(int) string { return "the-same" }), "after a restart")
}

// TestA008_BodyBombs: no more is read than the code host ever sends.
func TestA008_BodyBombs(t *testing.T) {
	w := newWorld(t, nil)
	w.follow("acme/shop")
	for _, length := range []int64{2147483648, -1} {
		r := httptest.NewRequest(http.MethodPost, github.HookPath, io.LimitReader(endless{}, 1<<31))
		r.ContentLength = length
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Hub-Signature-256", forgetest.Sign(secret, nil))
		rec := httptest.NewRecorder()
		w.host.Handler().ServeHTTP(rec, r)
		require.Equal(t, http.StatusRequestEntityTooLarge, rec.Code)
	}
}

// TestA008_ManyLargeBodies: forty of the largest bodies at once are all read,
// in turn, and a slow sender does not keep the others waiting.
func TestA008_ManyLargeBodies(t *testing.T) {
	w := newWorld(t, nil)
	r, _ := w.follow("acme/shop")
	slow, feed := io.Pipe()
	defer feed.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			req := httptest.NewRequest(http.MethodPost, github.HookPath, slow)
			req.ContentLength = 24 << 20
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("X-Hub-Signature-256", forgetest.Sign(secret, nil))
			w.host.Handler().ServeHTTP(httptest.NewRecorder(), req)
		})
	}
	fine := push(r.ID(), "refs/heads/main", hash1, "one")
	big := strings.Replace(fine, `"deleted"`, `"padding":"`+strings.Repeat("x", 15<<20)+`","deleted"`, 1)
	for range 4 {
		status, answer := w.send(post{event: "push", body: big})
		require.Equal(t, http.StatusOK, status, answer)
	}
	require.Len(t, w.pipelines(), 1)
	require.NoError(t, feed.Close())
	wg.Wait()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestA009_WrongShape: signed nonsense is refused or comes to nothing.
func TestA009_WrongShape(t *testing.T) {
	w := newWorld(t, nil)
	r, _ := w.follow("acme/shop")
	fine := push(r.ID(), "refs/heads/main", hash1, "one")
	bodies := []string{
		"", "null", "[]", "{}", "1", `"x"`, "{", fine + "x", "\xff\xfe", `{"ref":"` + "\xff" + `"}`, "\x1f\x8b",
		strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000), `{"repository":{"id":"x"}}`, `{"repository":{"id":1e99}}`,
		`{"repository":[]}`, `{"repository":null,"ref":"refs/heads/main"}`, `{"repository":{"id":-1}}`,
	}
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(fine), &fields))
	for name := range fields {
		for _, v := range []any{nil, []any{}, map[string]any{}, "x", 1, true, strings.Repeat("x", 100_000)} {
			changed := map[string]any{}
			for k, old := range fields {
				changed[k] = old
			}
			changed[name] = v
			b, err := json.Marshal(changed)
			require.NoError(t, err)
			bodies = append(bodies, string(b))
		}
	}
	for _, event := range []string{"push", "pull_request", "create", "delete", "repository", "public", "member", "ping", "unheard-of", "../../admin", ""} {
		for _, body := range bodies {
			status, answer := w.send(post{event: event, body: body})
			require.Less(t, status, 500, "%s %.80s: %s", event, body, answer)
		}
	}
	for _, p := range w.pipelines() {
		require.Equal(t, hash1, p.Revision)
		require.Equal(t, "refs/heads/main@"+hash1, p.Key)
	}
	big := strings.Replace(fine, `"deleted"`, `"padding":"`+strings.Repeat("x", 10<<20)+`","deleted"`, 1)
	status, answer := w.send(post{event: "push", body: big})
	require.Equal(t, http.StatusOK, status, answer)
	require.Len(t, w.pipelines(), 1)
}

// TestA013_HostileRefs: what is no reference of git is refused.
func TestA013_HostileRefs(t *testing.T) {
	w := newWorld(t, nil)
	r, _ := w.follow("acme/shop")
	for _, ref := range []string{
		"refs/heads/../../x", "refs/heads/-oProxyCommand=x", "refs/heads/a\nb", "refs/heads/a\x00b", "refs/heads/" + strings.Repeat("x", 10<<10),
		"refs/heads/", "refs/heads/a..b", "refs/heads/.a", "refs/heads/a.lock", "refs/heads/a b", "refs/tags/@{1}", "refs/heads/a~1", "",
	} {
		status, _ := w.send(post{event: "push", body: push(r.ID(), ref, hash1, "one")})
		require.Equal(t, http.StatusUnprocessableEntity, status, "%q", ref)
	}
	status, _ := w.send(post{event: "push", body: push(r.ID(), "refs/notes/commits", hash1, "one")})
	require.Equal(t, http.StatusOK, status)
	for _, hash := range []string{"", "main", "--upload-pack=x", strings.Repeat("0", 40), strings.Repeat("g", 40), "../../x"} {
		status, _ := w.send(post{event: "push", body: push(r.ID(), "refs/heads/main", hash, "one")})
		require.Equal(t, http.StatusUnprocessableEntity, status, "%q", hash)
	}
	require.Empty(t, w.pipelines())
	odd := "refs/heads/x$(touch${IFS}pwn)`id`;id\u202e"
	status, _ = w.send(post{event: "push", body: push(r.ID(), odd, hash1, "one")})
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, odd, "refs/heads/"+w.pipelines()[0].Branch, "odd, but git allows it: carried as it is")
}

// TestFormPayload: the signature is over the form as it was sent.
func TestFormPayload(t *testing.T) {
	w := newWorld(t, nil)
	r, _ := w.follow("acme/shop")
	body := url.Values{"payload": {push(r.ID(), "refs/heads/main", hash1, "ä&b=c+d")}}.Encode()
	status, answer := w.send(post{event: "push", kind: "application/x-www-form-urlencoded", body: body})
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, "ä&b=c+d", w.pipelines()[0].Subject)
	for _, body := range []string{"", "payload=", "payload=%", "other=1", "payload=%ff"} {
		status, _ := w.send(post{event: "push", kind: "application/x-www-form-urlencoded", body: body})
		require.Equal(t, http.StatusBadRequest, status, body)
	}
}

// TestP1_AcknowledgedAfterCommit: no 2xx before the trigger is durable, and
// what was not acknowledged can be sent again.
func TestP1_AcknowledgedAfterCommit(t *testing.T) {
	broken := true
	w := newWorld(t, func(c *github.Config) {
		trigger := c.Trigger
		c.Trigger = func(ctx context.Context, tr ci.Trigger) (ci.Pipeline, error) {
			if broken {
				return ci.Pipeline{}, errors.New("disk full")
			}
			return trigger(ctx, tr)
		}
	})
	r, _ := w.follow("acme/shop")
	body := push(r.ID(), "refs/heads/main", hash1, "one")
	status, answer := w.send(post{event: "push", guid: "g", body: body})
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotContains(t, answer, "disk")
	broken = false
	status, _ = w.send(post{event: "push", guid: "g", body: body})
	require.Equal(t, http.StatusOK, status)
	require.Len(t, w.pipelines(), 1)
}

// FuzzDoor sends signed bodies of all kinds.
func FuzzDoor(f *testing.F) {
	w := newWorld(f, nil)
	r, _ := w.follow("acme/shop")
	f.Add("push", push(r.ID(), "refs/heads/main", hash1, "one"))
	f.Add("pull_request", fmt.Sprintf(`{"action":"opened","pull_request":{"number":1,"head":{"ref":"x","sha":%q,"repo":{"id":1}},"base":{"repo":{"id":%d}}},"repository":{"id":%[2]d}}`, hash1, r.ID()))
	f.Add("delete", fmt.Sprintf(`{"ref":"x","ref_type":"branch","repository":{"id":%d}}`, r.ID()))
	f.Fuzz(func(t *testing.T, event, body string) {
		status, answer := w.send(post{event: event, body: body})
		if status >= 500 {
			t.Fatalf("%d %s", status, answer)
		}
	})
}
