package web

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// deliveryRows is how many messages of a webhook are listed.
const deliveryRows = 50

// webhookEvents are what a webhook may tell of.
var webhookEvents = []choice{
	{"workflow-completed", "A workflow has ended"}, {"job-completed", "A job has ended"},
}

// A webhooksView is the webhooks of a project, the form for one, and the
// messages of the one that is looked at.
type webhooksView struct {
	Rows       []ci.Webhook
	Edit       ci.Webhook // what the form shows; ID "" is a new one
	Open       bool       // the form is in use
	Events     []choice
	Shown      ci.Webhook // whose messages are listed; ID "" is none
	Deliveries []ci.Delivery
	More       bool
}

// Tells reports whether the webhook of the form tells of an event.
func (v webhooksView) Tells(event string) bool {
	for _, e := range v.Edit.Events {
		if e == event {
			return true
		}
	}
	return false
}

func (s *site) fillWebhooks(ctx context.Context, b *settingsBody, address url.Values) error {
	v := webhooksView{Events: webhookEvents, Edit: ci.Webhook{Events: []string{"workflow-completed"}}}
	var err error
	if v.Rows, err = s.cfg.Chapters.Webhooks.Webhooks(ctx, b.Project.ID); err != nil {
		return err
	}
	if id := address.Get("edit"); id != "" {
		if v.Edit, err = s.webhook(ctx, b.Project.ID, id); err != nil {
			return err
		}
		v.Open = true
	}
	if b.Form.Get("do") == "save" {
		v.Open, v.Edit = true, webhookOf(b.Form)
	}
	id := address.Get("hook")
	if b.Form.Get("do") == "ping" { // it went wrong; the log says more
		id = b.Form.Get("id")
	}
	if id != "" {
		if v.Shown, err = s.webhook(ctx, b.Project.ID, id); err != nil {
			return err
		}
		if v.Deliveries, err = s.cfg.Chapters.Webhooks.Deliveries(ctx, id); err != nil {
			return err
		}
		v.More = len(v.Deliveries) > deliveryRows
		v.Deliveries = v.Deliveries[:min(len(v.Deliveries), deliveryRows)]
	}
	b.Webhooks = v
	return nil
}

// webhook returns one of the project; that of another project is not there.
func (s *site) webhook(ctx context.Context, p ci.ProjectID, id string) (ci.Webhook, error) {
	h, err := s.cfg.Chapters.Webhooks.Webhook(ctx, id)
	if err == nil && h.Project != p {
		err = fmt.Errorf("webhook %.40q: %w", id, ci.ErrNotFound)
	}
	return h, err
}

func webhookOf(form url.Values) ci.Webhook {
	return ci.Webhook{
		ID: form.Get("id"), Name: strings.TrimSpace(form.Get("name")), URL: strings.TrimSpace(form.Get("url")),
		Events: form["event"], NoVerify: form.Get("verify") == "",
	}
}

func (s *site) changeWebhooks(ctx context.Context, b *settingsBody, form url.Values) (string, string, error) {
	kept, by := s.cfg.Chapters.Webhooks, actorIn(ctx)
	id := form.Get("id")
	if id != "" {
		if _, err := s.webhook(ctx, b.Project.ID, id); err != nil {
			return "", "", err
		}
	}
	log := url.Values{"hook": {id}}.Encode()
	switch verb := form.Get("do"); {
	case verb == "save":
		h := webhookOf(form)
		u, err := url.Parse(h.URL)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			return "", "", fmt.Errorf("save webhook: the address has to begin with https:// or http://: %w", ci.ErrInvalid)
		case h.Name == "":
			return "", "", fmt.Errorf("save webhook: give it a name: %w", ci.ErrInvalid)
		case len(h.Events) == 0:
			return "", "", fmt.Errorf("save webhook: choose at least one event: %w", ci.ErrInvalid)
		}
		h.Project, h.Secret = b.Project.ID, form.Get("secret")
		h, err = kept.PutWebhook(ctx, h, by)
		return "webhook", url.Values{"hook": {h.ID}}.Encode(), err
	case verb == "ping" && id != "":
		d, err := kept.PingWebhook(ctx, id, by)
		if err == nil && d.State != "delivered" {
			why := d.Error
			if why == "" {
				why = fmt.Sprintf("the other side answered with status %d", d.Status)
			}
			err = fmt.Errorf("the test message was not taken: %s. Look at the address, and at the log of the other side: %w", clean(why, 300, false), ci.ErrInvalid)
		}
		return "ping", log, err
	case verb == "delete" && id != "":
		return "webhook-gone", "", kept.DeleteWebhook(ctx, id, by)
	}
	return "", "", ci.ErrNotFound
}
