package web_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// Chapters in memory: the least that the pages need of them.

type contexts struct {
	mu     sync.Mutex
	all    []ci.Context
	limits []ci.Restriction
}

func (c *contexts) Contexts(_ context.Context, org string) ([]ci.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var own []ci.Context
	for _, one := range c.all {
		if one.Org == org {
			own = append(own, one)
		}
	}
	return own, nil
}

func (c *contexts) Context(_ context.Context, id ci.ContextID) (ci.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.all {
		if one.ID == id {
			return one, nil
		}
	}
	return ci.Context{}, ci.ErrNotFound
}

func (c *contexts) CreateContext(_ context.Context, org, name string, _ ci.Actor) (ci.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.all {
		if one.Name == name {
			return ci.Context{}, fmt.Errorf("create context: %q is taken: %w", name, ci.ErrConflict)
		}
	}
	c.all = append(c.all, ci.Context{ID: ci.ContextID(ci.NewID()), Org: org, Name: name, Created: time.Now().Add(-time.Hour)})
	return c.all[len(c.all)-1], nil
}

func (c *contexts) DeleteContext(_ context.Context, id ci.ContextID, _ ci.Actor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(one ci.Context) bool { return one.ID == id })
	return nil
}

func (c *contexts) Restrictions(_ context.Context, id ci.ContextID) ([]ci.Restriction, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var own []ci.Restriction
	for _, r := range c.limits {
		if r.Context == id {
			own = append(own, r)
		}
	}
	return own, nil
}

func (c *contexts) Restrict(_ context.Context, id ci.ContextID, kind ci.RestrictionKind, value string, _ ci.Actor) (ci.Restriction, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind == ci.RestrictExpression && strings.Contains(value, "nonsense") {
		return ci.Restriction{}, fmt.Errorf("restrict context: there is no value nonsense: %w", ci.ErrInvalid)
	}
	c.limits = append(c.limits, ci.Restriction{ID: ci.NewID(), Context: id, Kind: kind, Value: value})
	return c.limits[len(c.limits)-1], nil
}

func (c *contexts) Unrestrict(_ context.Context, _ ci.ContextID, id string, _ ci.Actor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = slices.DeleteFunc(c.limits, func(r ci.Restriction) bool { return r.ID == id })
	return nil
}

type variables struct {
	mu     sync.Mutex
	all    map[ci.Holder][]ci.Variable
	values map[string]string
}

func newVariables() *variables {
	return &variables{all: map[ci.Holder][]ci.Variable{}, values: map[string]string{}}
}

func (v *variables) Variables(_ context.Context, of ci.Holder) ([]ci.Variable, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.all[of]), nil
}

func (v *variables) SetVariable(_ context.Context, of ci.Holder, name, value string, _ ci.Actor) (ci.Variable, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if strings.HasPrefix(name, "CIRCLE_") {
		return ci.Variable{}, fmt.Errorf("set variable: %s is built in; choose another name: %w", name, ci.ErrInvalid)
	}
	masked := "xxxx"
	if len(value) > 4 {
		masked += value[len(value)-4:]
	}
	one := ci.Variable{Name: name, Masked: masked, Created: time.Now(), Updated: time.Now()}
	v.all[of] = slices.DeleteFunc(v.all[of], func(o ci.Variable) bool { return o.Name == name })
	v.all[of] = append(v.all[of], one)
	slices.SortFunc(v.all[of], func(a, b ci.Variable) int { return strings.Compare(a.Name, b.Name) })
	v.values[name] = value
	return one, nil
}

func (v *variables) DeleteVariable(_ context.Context, of ci.Holder, name string, _ ci.Actor) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all[of] = slices.DeleteFunc(v.all[of], func(o ci.Variable) bool { return o.Name == name })
	return nil
}

type keys struct{ all []ci.Key }

func (k *keys) Keys(context.Context, ci.ProjectID) ([]ci.Key, error) { return k.all, nil }

func (k *keys) add(kind ci.KeyKind, host string) ci.Key {
	n := fmt.Sprintf("%02x", len(k.all)+1)
	k.all = append(k.all, ci.Key{
		Kind: kind, Host: host, MD5: strings.Repeat(n+":", 15) + n, SHA256: strings.Repeat("k", 43), Preferred: len(k.all) == 0,
		Public: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI rondo", Created: time.Now().Add(-48 * time.Hour),
	})
	return k.all[len(k.all)-1]
}

func (k *keys) CreateKey(_ context.Context, _ ci.ProjectID, kind ci.KeyKind, _ ci.Actor) (ci.Key, error) {
	return k.add(kind, ""), nil
}

func (k *keys) AddKey(_ context.Context, _ ci.ProjectID, host, _ string, _ ci.Actor) (ci.Key, error) {
	return k.add(ci.KeyAdditional, host), nil
}

func (k *keys) DeleteKey(_ context.Context, _ ci.ProjectID, fingerprint string, _ ci.Actor) error {
	k.all = slices.DeleteFunc(k.all, func(one ci.Key) bool { return one.MD5 == fingerprint })
	return nil
}

type schedules struct{ all []ci.ScheduledPipeline }

func (s *schedules) Schedules(_ context.Context, p ci.ProjectID) ([]ci.ScheduledPipeline, error) {
	var own []ci.ScheduledPipeline
	for _, one := range s.all {
		if one.Project == p {
			own = append(own, one)
		}
	}
	return own, nil
}

func (s *schedules) Schedule(_ context.Context, id string) (ci.ScheduledPipeline, error) {
	for _, one := range s.all {
		if one.ID == id {
			return one, nil
		}
	}
	return ci.ScheduledPipeline{}, ci.ErrNotFound
}

func (s *schedules) PutSchedule(_ context.Context, one ci.ScheduledPipeline, _ ci.Actor) (ci.ScheduledPipeline, error) {
	one.Next = time.Now().Add(5 * time.Hour)
	for i := range s.all {
		if s.all[i].ID == one.ID {
			s.all[i] = one
			return one, nil
		}
	}
	one.ID = cmp.Or(one.ID, ci.NewID())
	s.all = append(s.all, one)
	return one, nil
}

func (s *schedules) DeleteSchedule(_ context.Context, id string, _ ci.Actor) error {
	s.all = slices.DeleteFunc(s.all, func(one ci.ScheduledPipeline) bool { return one.ID == id })
	return nil
}

// nextRuns triggers every day at the first of the hours.
func nextRuns(t ci.Timetable, after time.Time, n int) ([]time.Time, error) {
	if t.Cron != "" && len(strings.Fields(t.Cron)) != 5 {
		return nil, fmt.Errorf("a cron line has five fields: %w", ci.ErrInvalid)
	}
	day := after.UTC().Truncate(24 * time.Hour)
	if len(t.HoursOfDay) > 0 {
		day = day.Add(time.Duration(t.HoursOfDay[0]) * time.Hour)
	}
	var all []time.Time
	for range n {
		day = day.AddDate(0, 0, 1)
		all = append(all, day)
	}
	return all, nil
}

type webhooks struct {
	all  []ci.Webhook
	sent map[string][]ci.Delivery
}

func (h *webhooks) Webhooks(_ context.Context, p ci.ProjectID) ([]ci.Webhook, error) {
	var own []ci.Webhook
	for _, one := range h.all {
		if one.Project == p {
			own = append(own, one)
		}
	}
	return own, nil
}

func (h *webhooks) Webhook(_ context.Context, id string) (ci.Webhook, error) {
	for _, one := range h.all {
		if one.ID == id {
			return one, nil
		}
	}
	return ci.Webhook{}, ci.ErrNotFound
}

func (h *webhooks) PutWebhook(_ context.Context, one ci.Webhook, _ ci.Actor) (ci.Webhook, error) {
	if one.Secret != "" {
		one.Secret = "****" + one.Secret[max(len(one.Secret)-4, 0):]
	}
	for i := range h.all {
		if h.all[i].ID == one.ID {
			one.Secret = cmp.Or(one.Secret, h.all[i].Secret)
			h.all[i] = one
			return one, nil
		}
	}
	one.ID = ci.NewID()
	h.all = append(h.all, one)
	return one, nil
}

func (h *webhooks) DeleteWebhook(_ context.Context, id string, _ ci.Actor) error {
	h.all = slices.DeleteFunc(h.all, func(one ci.Webhook) bool { return one.ID == id })
	return nil
}

func (h *webhooks) PingWebhook(ctx context.Context, id string, _ ci.Actor) (ci.Delivery, error) {
	one, err := h.Webhook(ctx, id)
	if err != nil {
		return ci.Delivery{}, err
	}
	d := ci.Delivery{ID: ci.NewID(), Webhook: id, Event: "ping", State: "delivered", Attempts: 1, Status: 200, Created: time.Now(), Tried: time.Now()}
	if strings.Contains(one.URL, "down") {
		d.State, d.Status, d.Error = "failed", 0, "dial tcp: connection refused"
	}
	h.sent[id] = append([]ci.Delivery{d}, h.sent[id]...)
	return d, nil
}

func (h *webhooks) Deliveries(_ context.Context, id string) ([]ci.Delivery, error) {
	return h.sent[id], nil
}

type tokens struct{ all []ci.ProjectToken }

func (k *tokens) ProjectTokens(context.Context, ci.ProjectID) ([]ci.ProjectToken, error) {
	return k.all, nil
}

func (k *tokens) CreateProjectToken(_ context.Context, p ci.ProjectID, scope ci.TokenScope, label string, life time.Duration, _ ci.Actor) (ci.ProjectToken, string, error) {
	one := ci.ProjectToken{ID: ci.NewID(), Project: p, Scope: scope, Label: label, Created: time.Now()}
	if life > 0 {
		one.Expires = one.Created.Add(life)
	}
	k.all = append(k.all, one)
	return k.all[len(k.all)-1], "rondo_project_0123456789abcdef", nil
}

func (k *tokens) DeleteProjectToken(_ context.Context, _ ci.ProjectID, id string, _ ci.Actor) error {
	k.all = slices.DeleteFunc(k.all, func(one ci.ProjectToken) bool { return one.ID == id })
	return nil
}

// ownTokens are the tokens of everybody.
func ownTokens() web.Account {
	var all []web.PersonalToken
	return web.Account{
		List: func(context.Context, ci.Actor) ([]web.PersonalToken, error) { return slices.Clone(all), nil },
		Create: func(_ context.Context, _ ci.Actor, label string, _ time.Duration) (string, error) {
			all = append(all, web.PersonalToken{ID: ci.NewID(), Label: label, Created: time.Now()})
			return "rondo_own_0123456789abcdef", nil
		},
		Delete: func(_ context.Context, _ ci.Actor, id string) error {
			all = slices.DeleteFunc(all, func(one web.PersonalToken) bool { return one.ID == id })
			return nil
		},
	}
}

// furnish gives a world all chapters.
func furnish(w *world) (*contexts, *variables, *webhooks) {
	c, v := &contexts{}, newVariables()
	h := &webhooks{sent: map[string][]ci.Delivery{}}
	w.cfg.Chapters = web.Chapters{
		Contexts: c, Variables: v, Keys: &keys{}, Schedules: &schedules{}, Webhooks: h, Tokens: &tokens{}, Account: ownTokens(), Audit: newBook("ada", "lin"),
		PutProject: w.db.PutProject, NextRuns: nextRuns, Address: "https://ci.example",
		Badge: func(p ci.Project, branch string) string { return "/assets/favicon.svg?badge=" + p.Repo + branch },
		Follow: func(ctx context.Context, slug string, follow bool, _ ci.Actor) (ci.Project, error) {
			p, err := w.db.ProjectBySlug(ctx, slug)
			if errors.Is(err, ci.ErrNotFound) {
				parts := strings.Split(slug, "/")
				if parts[1] == "forbidden" {
					return p, fmt.Errorf("follow %s: you do not administer it on the code host: %w", slug, ci.ErrDenied)
				}
				p = ci.Project{ID: ci.ProjectID(ci.NewID()), Slug: slug, Org: parts[1], Repo: parts[2], DefaultBranch: "main"}
			}
			p.Followed = follow
			return p, w.db.PutProject(ctx, p)
		},
	}
	w.cfg.Insights = figures{w: w}
	w.cfg.Queue = web.Queue{
		Waiting: func(ctx context.Context, limit int) ([]ci.Ticket, int, error) {
			var all []ci.Ticket
			for id, err := range w.db.Open(ctx, "") {
				if err != nil {
					return nil, 0, err
				}
				wf := w.workflow(id)
				for _, j := range wf.Jobs {
					for i, t := range j.Tasks {
						if t.Status == ci.Queued {
							all = append(all, ci.Ticket{Task: ci.Task{ID: j.ID.Task(i), Job: j.ID, Name: j.Name, Number: j.Number, Workflow: id, Project: wf.Project, Index: i, Total: len(j.Tasks), Class: "small", Queued: j.Queued}})
						}
					}
				}
			}
			return all[:min(limit, len(all))], len(all), nil
		},
		Operations: newFloor(w),
	}
	return c, v, h
}

// as makes every request come from somebody.
func (w *world) as(login string) {
	w.cfg.Authorize = func(*http.Request) (ci.Actor, error) {
		return ci.Actor{ID: login, Kind: ci.ActorUser, Login: login}, nil
	}
}

// infest gives a world chapters that are full of a text.
func infest(w *world, evil string) {
	c, v, h := furnish(w)
	by := ci.Actor{Kind: ci.ActorUser, Login: evil}
	w.cfg.Chapters.Audit = newBook(evil)
	w.cfg.Chapters.Badge = nil // a picture of ours, which the others must not have
	w.cfg.Insights = figures{w, evil}
	one, _ := c.CreateContext(w.ctx, "local/home", evil, by)
	for _, kind := range []ci.RestrictionKind{ci.RestrictProject, ci.RestrictExpression, ci.RestrictGroup, ci.RestrictionKind(evil)} {
		_, _ = c.Restrict(w.ctx, one.ID, kind, evil, by)
	}
	for _, of := range []ci.Holder{{Context: one.ID}, {Project: w.project.ID}} {
		_, _ = v.SetVariable(w.ctx, of, evil, evil, by)
	}
	w.cfg.Chapters.Keys = &keys{all: []ci.Key{{Kind: ci.KeyAdditional, Host: evil, MD5: evil, SHA256: evil, Public: evil}, {Kind: ci.KeyUser, Login: evil}}}
	_, _ = w.cfg.Chapters.Schedules.PutSchedule(w.ctx, ci.ScheduledPipeline{
		Project: w.project.ID, Name: evil, Description: evil, Parameters: map[string]any{"branch": evil, evil: evil}, Actor: by, Timetable: ci.Timetable{Cron: evil},
	}, by)
	hook, _ := h.PutWebhook(w.ctx, ci.Webhook{Project: w.project.ID, Name: evil, URL: evil, Events: []string{evil}, Secret: evil}, by)
	h.sent[hook.ID] = []ci.Delivery{{ID: evil, Event: evil, State: evil, Error: evil}}
	_, _, _ = w.cfg.Chapters.Tokens.CreateProjectToken(w.ctx, w.project.ID, ci.TokenScope(evil), evil, 0, by)
	_, _ = w.cfg.Chapters.Account.Create(w.ctx, by, evil, 0)
	of := newFloor(w)
	of.evil, of.nodes = evil, []ci.Node{{ID: evil, Name: evil, Class: evil, Datacenter: evil, State: evil, Reason: evil}}
	of.state = ci.QueueState{Trouble: evil, Advice: evil}
	w.cfg.Queue.Operations = of
}
