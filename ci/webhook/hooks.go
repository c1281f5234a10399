package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

// The events that a webhook may ask for, and that of a test message.
const (
	WorkflowCompleted = "workflow-completed"
	JobCompleted      = "job-completed"
	Ping              = "ping"
)

// A hook is a webhook as its document keeps it.
type hook struct {
	ci.Webhook
	Mask string `json:"mask,omitempty"` // what people see of the secret
}

// openHook reads a document. The secret is its mask.
func openHook(d ci.Doc) (hook, error) {
	var h hook
	if err := json.Unmarshal(d.Body, &h); err != nil {
		return hook{}, fmt.Errorf("webhook %s: %w", d.ID, err)
	}
	h.ID, h.Created, h.Secret = d.ID, d.Created, h.Mask
	return h, nil
}

// Webhooks lists those of a project by name.
func (c *Courier) Webhooks(ctx context.Context, p ci.ProjectID) ([]ci.Webhook, error) {
	var out []ci.Webhook
	for d, err := range c.docs.Docs(ctx, ci.DocQuery{Kind: kindHook, Scope: string(p)}) {
		if err != nil {
			return nil, fmt.Errorf("list webhooks: %w", err)
		}
		h, err := openHook(d)
		if err != nil {
			return nil, err
		}
		out = append(out, h.Webhook)
	}
	slices.SortStableFunc(out, func(a, b ci.Webhook) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Webhook returns one. One that does not exist is [ci.ErrNotFound].
func (c *Courier) Webhook(ctx context.Context, id string) (ci.Webhook, error) {
	h, _, err := c.hook(ctx, id)
	return h.Webhook, err
}

func (c *Courier) hook(ctx context.Context, id string) (hook, ci.Doc, error) {
	d, err := c.docs.Doc(ctx, kindHook, id)
	if err != nil {
		return hook{}, d, err
	}
	h, err := openHook(d)
	return h, d, err
}

// PutWebhook writes a webhook, under a new ID if it has none, and returns it
// as kept. An empty Secret of one that exists leaves the secret, and so does
// the mask that was read. What is wrong with it is [ci.ErrInvalid], one joined
// error for each problem. One webhook too many is [ci.ErrConflict].
func (c *Courier) PutWebhook(ctx context.Context, w ci.Webhook, by ci.Actor) (ci.Webhook, error) {
	if err := c.check(&w); err != nil {
		return ci.Webhook{}, err
	}
	var old hook
	d := ci.Doc{Kind: kindHook, ID: w.ID, Scope: string(w.Project), Name: w.ID}
	if w.ID == "" {
		if _, err := c.read.Project(ctx, w.Project); err != nil {
			return ci.Webhook{}, fmt.Errorf("webhook %q: %w", w.Name, err)
		}
		if err := c.room(ctx, w.Project); err != nil {
			return ci.Webhook{}, fmt.Errorf("webhook %q: %w", w.Name, err)
		}
		d.ID = ci.NewID()
		d.Name = d.ID
	} else {
		var err error
		if old, d, err = c.hook(ctx, w.ID); err != nil {
			return ci.Webhook{}, err
		}
		if w.Project != old.Project {
			return ci.Webhook{}, fmt.Errorf("webhook %s: it belongs to another project and stays there: %w", w.ID, ci.ErrInvalid)
		}
	}
	h := hook{Webhook: w, Mask: old.Mask}
	h.Updated = time.UnixMilli(time.Now().UnixMilli()).UTC()
	if w.Secret != "" && w.Secret != old.Mask {
		if c.cfg.Keeper == nil {
			return ci.Webhook{}, fmt.Errorf("webhook %q: this installation keeps no secrets; leave signing-secret empty: %w", w.Name, ci.ErrInvalid)
		}
		sealed, err := c.cfg.Keeper.Seal(ctx, place(d), []byte(w.Secret))
		if err != nil {
			return ci.Webhook{}, fmt.Errorf("webhook %q: seal its secret: %w", w.Name, err)
		}
		d.Sealed, h.Mask = sealed, mask(w.Secret)
	}
	var err error
	if d.Body, err = json.Marshal(h); err != nil {
		return ci.Webhook{}, err
	}
	kept, err := c.docs.WriteDocs(ctx, ci.DocChange{Doc: d})
	if errors.Is(err, ci.ErrConflict) {
		return ci.Webhook{}, fmt.Errorf("webhook %q: somebody else has just changed it; read it again: %w", w.Name, ci.ErrConflict)
	}
	if err != nil {
		return ci.Webhook{}, err
	}
	h, err = openHook(kept[0])
	return h.Webhook, err
}

// MaxWebhooks is how many webhooks a project may have: the messages of an event
// to all of them are written at once.
const MaxWebhooks = 50

// room reports whether the project may have one more.
func (c *Courier) room(ctx context.Context, p ci.ProjectID) error {
	n, err := ci.CountDocs(c.docs.Docs(ctx, ci.DocQuery{Kind: kindHook, Scope: string(p), Limit: MaxWebhooks}))
	if err == nil && n >= MaxWebhooks {
		err = fmt.Errorf("the project has %d webhooks and cannot have more; delete one that nobody needs: %w", n, ci.ErrConflict)
	}
	return err
}

// place is where a document's secret belongs.
func place(d ci.Doc) []string { return []string{d.Kind, d.Scope, d.ID, d.Name} }

// mask returns what people may see of a secret: its end, if that leaves most
// of it.
func mask(secret string) string {
	if len(secret) < 8 {
		return "****"
	}
	return "****" + strings.ToValidUTF8(secret[len(secret)-4:], "*")
}

// DeleteWebhook removes one. Messages that still wait are dropped. One that
// does not exist is [ci.ErrNotFound].
func (c *Courier) DeleteWebhook(ctx context.Context, id string, by ci.Actor) error {
	d, err := c.docs.Doc(ctx, kindHook, id)
	if err != nil {
		return err
	}
	d.Version = ci.AnyVersion
	_, err = c.docs.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true})
	return err
}

// The bounds of what people write, in bytes.
const (
	maxName   = 255
	maxURL    = 2048
	maxSecret = 1024
)

// check returns what is wrong with a webhook.
func (c *Courier) check(w *ci.Webhook) error {
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("webhook: "+format+": %w", append(args, ci.ErrInvalid)...))
	}
	if w.Name = strings.TrimSpace(w.Name); w.Name == "" || len(w.Name) > maxName || strings.ContainsFunc(w.Name, unicode.IsControl) {
		problem("name is %.20q, but takes 1 to %d characters of one line", w.Name, maxName)
	}
	if says := c.checkURL(w.URL); says != "" {
		problem("url: %s", says)
	}
	if len(w.Events) == 0 {
		problem("events is empty; name %s or %s", WorkflowCompleted, JobCompleted)
	}
	for _, e := range w.Events {
		if e != WorkflowCompleted && e != JobCompleted {
			problem("events has %.40q, but takes %s and %s", e, WorkflowCompleted, JobCompleted)
		}
	}
	if len(w.Secret) > maxSecret {
		problem("signing-secret is longer than %d characters", maxSecret)
	}
	return errors.Join(problems...)
}

// checkURL returns what is wrong with an address, "" is nothing. What a name
// resolves to is looked at when it is dialled.
func (c *Courier) checkURL(text string) string {
	if len(text) > maxURL {
		return fmt.Sprintf("it is longer than %d characters", maxURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsFunc(text, unicode.IsControl):
		return "it cannot be read"
	case u.Scheme != "https" && u.Scheme != "http":
		return "it must begin with https:// or http://"
	case u.Hostname() == "":
		return "it names no host"
	case u.User != nil:
		return "it has a name or password in it, which would not be kept secret; use signing-secret"
	case u.Fragment != "":
		return "it has a # part, which is not sent"
	}
	if u.Port() != "" {
		if n, err := strconv.Atoi(u.Port()); err != nil || !portAllowed(n) {
			return "the port must be 80, 443, or 1024 to 65535"
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && c.cfg.Transport == nil && !allowed(ip, c.cfg.Allow) {
		return fmt.Sprintf("%s is not an address of the public internet; an administrator may allow its network", ip)
	}
	return ""
}
