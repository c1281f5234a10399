package api_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// rooms are the chapters beyond pipelines, in memory: what the API asks for and
// no more. Who may do what is recorded, not judged.
type rooms struct {
	mu           sync.Mutex
	now          time.Time
	contexts     map[ci.ContextID]ci.Context
	restrictions map[string]ci.Restriction
	variables    map[ci.Holder]map[string]ci.Variable
	values       map[ci.Holder]map[string]string
	keys         map[ci.ProjectID][]ci.Key
	schedules    map[string]ci.ScheduledPipeline
	webhooks     map[string]ci.Webhook
	secrets      map[string]string // of webhooks
	deliveries   map[string][]ci.Delivery
	by           []ci.Actor // who changed something
}

var (
	_ ci.Contexts  = (*rooms)(nil)
	_ ci.Variables = (*rooms)(nil)
	_ ci.Keys      = (*rooms)(nil)
	_ ci.Schedules = (*rooms)(nil)
	_ ci.Webhooks  = (*rooms)(nil)
)

func newRooms() *rooms {
	return &rooms{
		now:      time.Date(2026, 11, 25, 3, 4, 5, 678e6, time.UTC),
		contexts: map[ci.ContextID]ci.Context{}, restrictions: map[string]ci.Restriction{},
		variables: map[ci.Holder]map[string]ci.Variable{}, values: map[ci.Holder]map[string]string{},
		keys: map[ci.ProjectID][]ci.Key{}, schedules: map[string]ci.ScheduledPipeline{}, webhooks: map[string]ci.Webhook{},
		secrets: map[string]string{}, deliveries: map[string][]ci.Delivery{},
	}
}

// tick is the time of a change, by whom.
func (r *rooms) tick(by ci.Actor) time.Time {
	r.by = append(r.by, by)
	r.now = r.now.Add(time.Second)
	return r.now
}

// found returns what a map holds, or an error that says it does not.
func found[K comparable, V any](r *rooms, m map[K]V, key K) (V, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := m[key]
	if !ok {
		return v, fmt.Errorf("%v: %w", key, ci.ErrNotFound)
	}
	return v, nil
}

func drop[K comparable, V any](r *rooms, m map[K]V, key K, by ci.Actor) error {
	if _, err := found(r, m, key); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(m, key)
	r.tick(by)
	return nil
}

// those returns what of a map is wanted, by name.
func those[K comparable, V any](r *rooms, m map[K]V, want func(V) bool, name func(V) string) []V {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []V
	for _, v := range m {
		if want(v) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b V) int { return cmp.Compare(name(a), name(b)) })
	return all
}

func (r *rooms) Contexts(_ context.Context, org string) ([]ci.Context, error) {
	return those(r, r.contexts, func(x ci.Context) bool { return org == "" || x.Org == org }, func(x ci.Context) string { return x.Name }), nil
}

func (r *rooms) Context(_ context.Context, id ci.ContextID) (ci.Context, error) {
	return found(r, r.contexts, id)
}

func (r *rooms) CreateContext(_ context.Context, org, name string, by ci.Actor) (ci.Context, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.contexts {
		if x.Name == name {
			return x, fmt.Errorf("A context named %s already exists: %w", name, ci.ErrConflict)
		}
	}
	if strings.TrimSpace(name) != name {
		return ci.Context{}, fmt.Errorf("create context: the name has blanks around it: %w", ci.ErrInvalid)
	}
	x := ci.Context{ID: ci.ContextID(ci.NewID()), Org: org, Name: name, Created: r.tick(by)}
	r.contexts[x.ID] = x
	return x, nil
}

func (r *rooms) DeleteContext(_ context.Context, id ci.ContextID, by ci.Actor) error {
	return drop(r, r.contexts, id, by)
}

func (r *rooms) Restrictions(_ context.Context, id ci.ContextID) ([]ci.Restriction, error) {
	return those(r, r.restrictions, func(x ci.Restriction) bool { return x.Context == id }, func(x ci.Restriction) string { return x.Value }), nil
}

func (r *rooms) Restrict(_ context.Context, id ci.ContextID, kind ci.RestrictionKind, value string, by ci.Actor) (ci.Restriction, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.restrictions {
		if x.Context == id && x.Kind == kind && x.Value == value {
			return x, fmt.Errorf("restrict: %w", ci.ErrConflict)
		}
	}
	x := ci.Restriction{ID: ci.NewID(), Context: id, Kind: kind, Value: value}
	r.restrictions[x.ID] = x
	r.tick(by)
	return x, nil
}

func (r *rooms) Unrestrict(_ context.Context, id ci.ContextID, restriction string, by ci.Actor) error {
	if x, err := found(r, r.restrictions, restriction); err != nil || x.Context != id {
		return ci.ErrNotFound
	}
	return drop(r, r.restrictions, restriction, by)
}

func (r *rooms) Variables(_ context.Context, of ci.Holder) ([]ci.Variable, error) {
	return those(r, r.variables[of], func(ci.Variable) bool { return true }, func(v ci.Variable) string { return v.Name }), nil
}

func (r *rooms) SetVariable(_ context.Context, of ci.Holder, name, value string, by ci.Actor) (ci.Variable, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" {
		return ci.Variable{}, fmt.Errorf("set variable: %q is no name of a variable: %w", name, ci.ErrInvalid)
	}
	if r.variables[of] == nil {
		r.variables[of], r.values[of] = map[string]ci.Variable{}, map[string]string{}
	}
	v := ci.Variable{Name: name, Masked: "xxxx", Updated: r.tick(by)}
	v.Created = v.Updated
	if old, ok := r.variables[of][name]; ok {
		v.Created = old.Created
	}
	if len(value) > 4 {
		v.Masked += value[len(value)-4:]
	}
	r.variables[of][name], r.values[of][name] = v, value
	return v, nil
}

func (r *rooms) DeleteVariable(_ context.Context, of ci.Holder, name string, by ci.Actor) error {
	return drop(r, r.variables[of], name, by)
}

func (r *rooms) Keys(_ context.Context, p ci.ProjectID) ([]ci.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys[p]), nil
}

func (r *rooms) CreateKey(_ context.Context, p ci.ProjectID, kind ci.KeyKind, by ci.Actor) (ci.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := byte(len(r.keys[p]))
	public := ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	k := ci.Key{
		Kind: kind, Public: "ssh-ed25519 " + base64.StdEncoding.EncodeToString(public), Created: r.tick(by), Preferred: n == 0,
		MD5: fmt.Sprintf("c9:0b:%02x", n), SHA256: base64.RawStdEncoding.EncodeToString([]byte{0xff, 0xef, n}) + "/+x",
	}
	r.keys[p] = append(r.keys[p], k)
	return k, nil
}

func (r *rooms) AddKey(ctx context.Context, p ci.ProjectID, host, _ string, by ci.Actor) (ci.Key, error) {
	k, err := r.CreateKey(ctx, p, ci.KeyAdditional, by)
	r.keys[p][len(r.keys[p])-1].Host = host
	return k, err
}

func (r *rooms) DeleteKey(_ context.Context, p ci.ProjectID, fingerprint string, by ci.Actor) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.keys[p])
	r.keys[p] = slices.DeleteFunc(r.keys[p], func(k ci.Key) bool { return k.MD5 == fingerprint || k.SHA256 == fingerprint })
	r.tick(by)
	if len(r.keys[p]) == n {
		return ci.ErrNotFound
	}
	return nil
}

func (r *rooms) Schedules(_ context.Context, p ci.ProjectID) ([]ci.ScheduledPipeline, error) {
	return those(r, r.schedules, func(s ci.ScheduledPipeline) bool { return s.Project == p }, func(s ci.ScheduledPipeline) string { return s.Name }), nil
}

func (r *rooms) Schedule(_ context.Context, id string) (ci.ScheduledPipeline, error) {
	return found(r, r.schedules, id)
}

func (r *rooms) PutSchedule(_ context.Context, s ci.ScheduledPipeline, by ci.Actor) (ci.ScheduledPipeline, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := s.Timetable
	if (t.Cron != "") == (t.PerHour > 0) || t.Cron == "" && (len(t.DaysOfMonth) > 0) == (len(t.DaysOfWeek) > 0) {
		return s, fmt.Errorf("schedule %s: choose days of the week or of the month: %w", s.Name, ci.ErrInvalid)
	}
	s.Updated = r.tick(by)
	if s.ID == "" {
		s.ID, s.Created = ci.NewID(), s.Updated
	}
	r.schedules[s.ID] = s
	return s, nil
}

func (r *rooms) DeleteSchedule(_ context.Context, id string, by ci.Actor) error {
	return drop(r, r.schedules, id, by)
}

func (r *rooms) Webhooks(_ context.Context, p ci.ProjectID) ([]ci.Webhook, error) {
	return those(r, r.webhooks, func(w ci.Webhook) bool { return w.Project == p }, func(w ci.Webhook) string { return w.Name }), nil
}

func (r *rooms) Webhook(_ context.Context, id string) (ci.Webhook, error) {
	return found(r, r.webhooks, id)
}

func (r *rooms) PutWebhook(_ context.Context, w ci.Webhook, by ci.Actor) (ci.Webhook, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.HasPrefix(w.URL, "http") {
		return w, fmt.Errorf("webhook %s: the address is none of the web: %w", w.Name, ci.ErrInvalid)
	}
	w.Updated = r.tick(by)
	if w.ID == "" {
		w.ID, w.Created = ci.NewID(), w.Updated
	}
	if w.Secret != "" {
		r.secrets[w.ID] = w.Secret
	}
	if w.Secret = r.secrets[w.ID]; w.Secret != "" {
		w.Secret = "****" + w.Secret[max(0, len(w.Secret)-4):]
	}
	r.webhooks[w.ID] = w
	return w, nil
}

func (r *rooms) DeleteWebhook(_ context.Context, id string, by ci.Actor) error {
	return drop(r, r.webhooks, id, by)
}

func (r *rooms) PingWebhook(_ context.Context, id string, by ci.Actor) (ci.Delivery, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := ci.Delivery{ID: ci.NewID(), Webhook: id, Event: "ping", State: "delivered", Attempts: 1, Status: 204, Created: r.tick(by), Tried: r.now}
	r.deliveries[id] = append([]ci.Delivery{d}, r.deliveries[id]...)
	return d, nil
}

func (r *rooms) Deliveries(_ context.Context, id string) ([]ci.Delivery, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.deliveries[id]), nil
}
