package forgetest

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A hook is a webhook of a repository.
type hook struct {
	id          int64
	events      []string
	url, format string
	secret      string
	active      bool
	made        time.Time
}

// A Hook is what tests see of a webhook.
type Hook struct {
	ID     int64
	URL    string
	Secret string
	Events []string
}

// A Delivery is one try to send a webhook.
type Delivery struct {
	ID         int64
	GUID       string
	Event      string
	Action     string
	Hook       int64
	Status     int // of the answer; 502 when nobody answered
	Answer     string
	Redelivery bool
	Time       time.Time
	Payload    []byte
	headers    map[string]string
}

// Hooks returns the webhooks.
func (r *Repo) Hooks() (out []Hook) {
	r.set(func() {
		for _, h := range r.hooks {
			out = append(out, Hook{h.id, h.url, h.secret, slices.Clone(h.events)})
		}
	})
	return out
}

// AddHook adds a webhook as somebody else would, and returns its ID.
func (r *Repo) AddHook(address, secret string, events ...string) int64 {
	h := &hook{id: r.g.id(), events: events, url: address, format: "json", secret: secret, active: true, made: time.Now().UTC()}
	r.set(func() { r.hooks = append(r.hooks, h) })
	return h.id
}

// RemoveHooks removes all webhooks, as somebody might by mistake.
func (r *Repo) RemoveHooks() { r.set(func() { r.hooks = nil }) }

// Deliveries returns all that was sent, oldest first.
func (r *Repo) Deliveries() (out []Delivery) {
	r.set(func() {
		for _, d := range r.deliveries {
			out = append(out, *d)
		}
	})
	return out
}

// tell sends an event to the webhooks that want it.
func (r *Repo) tell(event, action string, payload object) {
	for _, h := range r.listeners(event) {
		r.sendTo(h, event, action, payload)
	}
}

func (r *Repo) listeners(event string) (out []*hook) {
	r.set(func() {
		for _, h := range r.hooks {
			if h.active && (slices.Contains(h.events, event) || slices.Contains(h.events, "*")) {
				out = append(out, h)
			}
		}
	})
	return out
}

// sendTo sends an event to one webhook.
func (r *Repo) sendTo(h *hook, event, action string, payload object) {
	full := object{"repository": r.hookRepoJSON(), "sender": r.g.userJSON("octocat")}
	for k, v := range payload {
		full[k] = v
	}
	if action != "" {
		full["action"] = action
	}
	body, err := json.Marshal(full)
	if err != nil {
		r.g.t.Errorf("payload of %s: %v", event, err)
		return
	}
	r.deliver(h, Delivery{GUID: guid(), Event: event, Action: action, Payload: body})
}

// deliver makes one try.
func (r *Repo) deliver(h *hook, d Delivery) {
	d.ID, d.Hook, d.Time = r.g.id(), h.id, time.Now().UTC()
	body, kind := d.Payload, "application/json"
	if h.format == "form" {
		body, kind = []byte(url.Values{"payload": {string(body)}}.Encode()), "application/x-www-form-urlencoded"
	}
	d.headers = map[string]string{
		"Content-Type": kind, "User-Agent": "GitHub-Hookshot/fake", "X-GitHub-Event": d.Event, "X-GitHub-Delivery": d.GUID,
		"X-GitHub-Hook-ID":                       fmt.Sprint(h.id),
		"X-GitHub-Hook-Installation-Target-ID":   fmt.Sprint(r.id),
		"X-GitHub-Hook-Installation-Target-Type": "repository",
		"X-GitHub-Enterprise-Version":            "3.19.0", "X-GitHub-Enterprise-Host": "ghe.example.com",
	}
	if h.secret != "" {
		d.headers["X-Hub-Signature-256"] = Sign(h.secret, body)
	}
	d.Status, d.Answer = r.post(h.url, d.headers, body)
	r.set(func() { r.deliveries = append(r.deliveries, &d) })
}

func (r *Repo) post(address string, headers map[string]string, body []byte) (int, string) {
	req, err := http.NewRequestWithContext(r.g.t.Context(), http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadGateway, err.Error()
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	r.g.mu.Lock()
	send := r.g.send
	r.g.mu.Unlock()
	resp, err := send.RoundTrip(req)
	if err != nil {
		return http.StatusBadGateway, err.Error()
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(answer)
}

// Sign returns the signature of a body as the header X-Hub-Signature-256 has it.
func Sign(secret string, body []byte) string {
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write(body)
	return fmt.Sprintf("sha256=%x", sum.Sum(nil))
}

// guid returns a fresh name for a delivery.
func guid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// pushPayload is the payload of a push.
func (r *Repo) pushPayload(ref, before, after string) object {
	const none = "0000000000000000000000000000000000000000"
	p := object{
		"ref": ref, "before": before, "after": after, "base_ref": nil, "compare": r.page("/compare/%s...%s", before, after),
		"created": before == "", "deleted": after == "", "forced": false, "head_commit": nil, "commits": []any{},
		"pusher": object{"name": "octocat", "email": "octocat@example.com"},
	}
	if before == "" {
		p["before"] = none
	}
	if after == "" {
		p["after"] = none
		return p
	}
	if c, ok := r.commit(after); ok {
		who := object{"name": c.author, "email": c.email, "username": "ada"}
		head := object{
			"id": c.sha, "tree_id": c.tree, "distinct": true, "message": c.message, "timestamp": c.date, "url": r.page("/commit/%s", c.sha),
			"author": who, "committer": who, "added": []any{}, "removed": []any{}, "modified": []any{},
		}
		p["head_commit"], p["commits"] = head, []any{head}
	}
	return p
}
