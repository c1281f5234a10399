package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// webhookRoutes are the operations on outbound webhooks. They need the right to
// change the project, reading too: addresses often hold a secret.
func webhookRoutes() []route {
	const at, own = "/webhook/{webhook_id}", "/rondo/webhook/{webhook_id}"
	return []route{
		{
			method: "GET", path: "/webhook", summary: "The webhooks of a project", tag: "Webhook",
			query:  []string{"scope-id: identity of the project", "scope-type: project", pageToken},
			status: 200, response: page[webhook]{}, serve: (*call).listWebhooks,
		}, {
			method: "POST", path: "/webhook", summary: "Create a webhook", tag: "Webhook",
			status: 201, request: webhookRequest{}, response: webhook{}, serve: (*call).createWebhook,
		}, {
			method: "GET", path: at, summary: "A webhook", tag: "Webhook",
			status: 200, response: webhook{}, serve: (*call).getWebhook,
		}, {
			method: "PUT", path: at, summary: "Change a webhook in part", tag: "Webhook",
			status: 200, request: webhookRequest{}, response: webhook{}, serve: (*call).changeWebhook,
		}, {
			method: "DELETE", path: at, summary: "Delete a webhook", tag: "Webhook",
			status: 200, response: message{}, serve: (*call).deleteWebhook,
		}, {
			method: "POST", path: own + "/ping", summary: "Send a test message to a webhook", tag: "Rondo",
			status: 200, response: delivery{}, serve: (*call).pingWebhook,
		}, {
			method: "GET", path: own + "/deliveries", summary: "What was sent to a webhook, newest first", tag: "Rondo",
			query: []string{pageToken}, status: 200, response: page[delivery]{}, serve: (*call).listDeliveries,
		},
	}
}

// A webhook is a [ci.Webhook] on the wire. The schema and the clients disagree
// about the spelling of its times.
type webhook struct {
	ID         string       `json:"id"`
	Name       string       `json:"name"`
	URL        string       `json:"url"`
	Events     []string     `json:"events"`
	Verify     bool         `json:"verify-tls"`
	Secret     string       `json:"signing-secret"`
	Scope      webhookScope `json:"scope"`
	Created    stamp        `json:"created-at"`
	CreatedToo stamp        `json:"created_at"`
	Updated    stamp        `json:"updated-at"`
	UpdatedToo stamp        `json:"updated_at"`
}

type webhookScope struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

func webhookOf(w ci.Webhook) webhook {
	created, updated := stampOf(w.Created), stampOf(w.Updated)
	return webhook{
		ID: w.ID, Name: w.Name, URL: w.URL, Events: append([]string{}, w.Events...), Verify: !w.NoVerify, Secret: w.Secret,
		Scope: webhookScope{string(w.Project), "project"}, Created: created, CreatedToo: created, Updated: updated, UpdatedToo: updated,
	}
}

// A webhookRequest is a webhook as people write it; what is absent stays as it
// is. The scope stays anyway.
type webhookRequest struct {
	Name   *string       `json:"name,omitempty"`
	URL    *string       `json:"url,omitempty"`
	Events []string      `json:"events,omitempty"`
	Verify *bool         `json:"verify-tls,omitempty"`
	Secret *string       `json:"signing-secret,omitempty"`
	Scope  *webhookScope `json:"scope,omitempty"`
}

// onto puts what the request says onto a webhook, and says what that lacks.
// Whether the address may be reached is for the chapter to say.
func (r webhookRequest) onto(w *ci.Webhook) error {
	change(&w.Name, r.Name)
	change(&w.URL, r.URL)
	if r.Events != nil {
		w.Events = r.Events
	}
	if r.Verify != nil {
		w.NoVerify = !*r.Verify
	}
	masked := w.Secret
	if w.Secret = ""; r.Secret != nil && *r.Secret != masked { // else it is what we showed
		w.Secret = *r.Secret
	}
	known := []string{"workflow-completed", "job-completed"}
	switch {
	case strings.TrimSpace(w.Name) == "":
		return missing("name")
	case w.URL == "":
		return missing("url")
	case len(w.Events) == 0 || slices.ContainsFunc(w.Events, func(e string) bool { return !slices.Contains(known, e) }):
		return refuse(http.StatusBadRequest, "events must be workflow-completed, job-completed or both.")
	}
	return nil
}

func (c *call) listWebhooks() (any, error) {
	q := c.r.URL.Query()
	p, err := c.scope(webhookScope{q.Get("scope-id"), q.Get("scope-type")})
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Chapters.Webhooks.Webhooks(c.r.Context(), p.ID)
	if err != nil {
		return nil, err
	}
	return keyed(c, all, func(w ci.Webhook) string { return w.ID }, webhookOf)
}

// scope returns the project of a scope.
func (c *call) scope(s webhookScope) (ci.Project, error) {
	switch {
	case c.cfg.Chapters.Webhooks == nil:
		return ci.Project{}, absent("webhooks")
	case s.ID == "":
		return ci.Project{}, refuse(http.StatusBadRequest, "The scope is required: the id of a project.")
	case s.Type != "project":
		return ci.Project{}, refuse(http.StatusBadRequest, "The type of a scope is project.")
	}
	return c.projectNamed(s.ID, true)
}

func (c *call) createWebhook() (any, error) {
	var req webhookRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Scope == nil {
		req.Scope = &webhookScope{}
	}
	p, err := c.scope(*req.Scope)
	if err != nil {
		return nil, err
	}
	return c.putWebhook(ci.Webhook{Project: p.ID}, req)
}

func (c *call) putWebhook(w ci.Webhook, req webhookRequest) (any, error) {
	if err := req.onto(&w); err != nil {
		return nil, err
	}
	w, err := c.cfg.Chapters.Webhooks.PutWebhook(c.r.Context(), w, c.by)
	if err != nil {
		return nil, named(err, "Webhook")
	}
	return webhookOf(w), nil
}

// webhook returns the one of the address.
func (c *call) webhook() (ci.Webhook, error) {
	if c.cfg.Chapters.Webhooks == nil {
		return ci.Webhook{}, absent("webhooks")
	}
	w, err := c.cfg.Chapters.Webhooks.Webhook(c.r.Context(), strings.ToLower(c.r.PathValue("webhook_id")))
	if err == nil {
		_, err = c.may(c.r.Context(), w.Project, true)
	}
	return w, named(err, "Webhook")
}

func (c *call) getWebhook() (any, error) {
	w, err := c.webhook()
	if err != nil {
		return nil, err
	}
	return webhookOf(w), nil
}

func (c *call) changeWebhook() (any, error) {
	if _, err := c.webhook(); err != nil {
		return nil, err
	}
	var req webhookRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	w, err := c.webhook() // as it is now: the sender may have been slow
	if err != nil {
		return nil, err
	}
	return c.putWebhook(w, req)
}

func (c *call) deleteWebhook() (any, error) {
	w, err := c.webhook()
	if err != nil {
		return nil, err
	}
	if err := c.cfg.Chapters.Webhooks.DeleteWebhook(c.r.Context(), w.ID, c.by); err != nil {
		return nil, named(err, "Webhook")
	}
	return message{"Webhook deleted."}, nil
}

// A delivery is a [ci.Delivery] on the wire.
type delivery struct {
	ID       string `json:"id"`
	Webhook  string `json:"webhook_id"`
	Event    string `json:"event"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Status   *int   `json:"status"` // HTTP, of the last answer
	Error    string `json:"error"`
	Created  stamp  `json:"created_at"`
	Tried    stamp  `json:"last_attempt_at"`
	Next     stamp  `json:"next_attempt_at"`
}

func deliveryOf(d ci.Delivery) delivery {
	out := delivery{
		ID: d.ID, Webhook: d.Webhook, Event: d.Event, State: d.State, Attempts: d.Attempts, Error: d.Error,
		Created: stampOf(d.Created), Tried: stampOf(d.Tried), Next: stampOf(d.Next),
	}
	if d.Status != 0 {
		out.Status = &d.Status
	}
	return out
}

func (c *call) pingWebhook() (any, error) {
	w, err := c.webhook()
	if err != nil {
		return nil, err
	}
	d, err := c.cfg.Chapters.Webhooks.PingWebhook(c.r.Context(), w.ID, c.by)
	if err != nil {
		return nil, named(err, "Webhook")
	}
	return deliveryOf(d), nil
}

func (c *call) listDeliveries() (any, error) {
	w, err := c.webhook()
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Chapters.Webhooks.Deliveries(c.r.Context(), w.ID)
	if err != nil {
		return nil, err
	}
	end := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	newest := func(d ci.Delivery) string { return fmt.Sprintf("%020d ", end.UnixMilli()-d.Created.UnixMilli()) + d.ID }
	return keyed(c, all, newest, deliveryOf)
}
