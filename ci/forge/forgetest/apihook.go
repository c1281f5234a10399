package forgetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (r *Repo) listHooks(w http.ResponseWriter, req *http.Request) {
	var list []any
	var hooks []*hook
	r.set(func() { hooks = slices.Clone(r.hooks) })
	for _, h := range hooks {
		list = append(list, r.hookJSON(h))
	}
	page(w, req, list)
}

// A hookRequest is what making or changing a webhook says.
type hookRequest struct {
	Active *bool    `json:"active"`
	Events []string `json:"events"`
	Config *struct {
		URL    string `json:"url"`
		Format string `json:"content_type"`
		Secret string `json:"secret"`
	} `json:"config"`
}

func (in hookRequest) apply(h *hook) {
	if in.Active != nil {
		h.active = *in.Active
	}
	if in.Events != nil {
		h.events = in.Events
	}
	if in.Config != nil {
		h.url, h.format, h.secret = in.Config.URL, in.Config.Format, in.Config.Secret
		if h.format == "" {
			h.format = "form"
		}
	}
}

func (r *Repo) postHook(w http.ResponseWriter, req *http.Request) {
	var in hookRequest
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil || in.Config == nil || in.Config.URL == "" {
		problem(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	}
	h := &hook{id: r.g.id(), active: true, events: []string{"push"}, made: time.Now().UTC()}
	in.apply(h)
	taken := false
	r.set(func() {
		taken = slices.ContainsFunc(r.hooks, func(o *hook) bool { return o.url == h.url })
		if !taken {
			r.hooks = append(r.hooks, h)
		}
	})
	if taken {
		answer(w, http.StatusUnprocessableEntity, object{
			"message": "Validation Failed", "documentation_url": "https://docs.github.com/rest", "status": "422",
			"errors": []any{object{"resource": "Hook", "code": "custom", "message": "Hook already exists on this repository"}},
		})
		return
	}
	r.sendTo(h, "ping", "", object{"zen": "Keep it simple.", "hook_id": h.id, "hook": r.hookJSON(h)})
	answer(w, http.StatusCreated, r.hookJSON(h))
}

// hook finds a webhook, or answers that there is none.
func (r *Repo) hook(w http.ResponseWriter, req *http.Request) *hook {
	var found *hook
	r.set(func() {
		for _, h := range r.hooks {
			if fmt.Sprint(h.id) == req.PathValue("hook") {
				found = h
			}
		}
	})
	if found == nil {
		problem(w, http.StatusNotFound, "Not Found")
	}
	return found
}

func (r *Repo) patchHook(w http.ResponseWriter, req *http.Request) {
	h := r.hook(w, req)
	if h == nil {
		return
	}
	var in hookRequest
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		problem(w, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	r.set(func() { in.apply(h) })
	answer(w, http.StatusOK, r.hookJSON(h))
}

func (r *Repo) deleteHook(w http.ResponseWriter, req *http.Request) {
	if h := r.hook(w, req); h != nil {
		r.set(func() { r.hooks = slices.DeleteFunc(r.hooks, func(o *hook) bool { return o == h }) })
		w.WriteHeader(http.StatusNoContent)
	}
}

// listDeliveries lists the deliveries of three days, newest first, page by page
// with a cursor.
func (r *Repo) listDeliveries(w http.ResponseWriter, req *http.Request) {
	h := r.hook(w, req)
	if h == nil {
		return
	}
	var all []*Delivery
	r.set(func() {
		for _, d := range slices.Backward(r.deliveries) {
			if d.Hook == h.id && time.Since(d.Time) < 72*time.Hour {
				all = append(all, d)
			}
		}
	})
	size, _ := strconv.Atoi(req.URL.Query().Get("per_page"))
	start, _ := strconv.Atoi(strings.TrimPrefix(req.URL.Query().Get("cursor"), "v1_"))
	if size <= 0 || size > 100 {
		size = 30
	}
	start = min(start, len(all))
	end := min(start+size, len(all))
	if end < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?per_page=%d&cursor=v1_%d>; rel="next"`, r.url("/hooks/%d/deliveries", h.id), size, end))
	}
	list := []any{}
	for _, d := range all[start:end] {
		list = append(list, r.deliveryJSON(d, false))
	}
	answer(w, http.StatusOK, list)
}

// delivery finds a delivery, or answers that there is none.
func (r *Repo) delivery(w http.ResponseWriter, req *http.Request) *Delivery {
	var found *Delivery
	r.set(func() {
		for _, d := range r.deliveries {
			if fmt.Sprint(d.ID) == req.PathValue("d") && fmt.Sprint(d.Hook) == req.PathValue("hook") {
				found = d
			}
		}
	})
	if found == nil {
		problem(w, http.StatusNotFound, "Not Found")
	}
	return found
}

func (r *Repo) getDelivery(w http.ResponseWriter, req *http.Request) {
	if d := r.delivery(w, req); d != nil {
		answer(w, http.StatusOK, r.deliveryJSON(d, true))
	}
}

func (r *Repo) postAttempt(w http.ResponseWriter, req *http.Request) {
	h := r.hook(w, req)
	if h == nil {
		return
	}
	if d := r.delivery(w, req); d != nil {
		r.deliver(h, Delivery{GUID: d.GUID, Event: d.Event, Action: d.Action, Payload: d.Payload, Redelivery: true})
		answer(w, http.StatusAccepted, object{})
	}
}

func (r *Repo) listKeys(w http.ResponseWriter, req *http.Request) {
	var list []any
	for _, k := range r.Keys() {
		list = append(list, r.keyJSON(k))
	}
	page(w, req, list)
}

func (r *Repo) postKey(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Title, Key string
		ReadOnly   bool `json:"read_only"`
	}
	refuse := func(text string) {
		answer(w, http.StatusUnprocessableEntity, object{
			"message": "Validation Failed", "documentation_url": "https://docs.github.com/rest", "status": "422",
			"errors": []any{object{"resource": "PublicKey", "code": "custom", "field": "key", "message": text}},
		})
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil || len(strings.Fields(in.Key)) < 2 {
		refuse("key is invalid. You must supply a key in OpenSSH public key format")
		return
	}
	fields := strings.Fields(in.Key)
	k := Key{ID: r.g.id(), Title: in.Title, Key: fields[0] + " " + fields[1], ReadOnly: in.ReadOnly, made: time.Now().UTC()}
	taken, forbidden := false, false
	r.set(func() {
		for _, other := range r.g.repos {
			taken = taken || slices.ContainsFunc(other.keys, func(o Key) bool { return o.Key == k.Key })
		}
		forbidden = r.noKeys
		if !taken && !forbidden {
			r.keys = append(r.keys, k)
		}
	})
	switch {
	case forbidden:
		refuse("Deploy keys are disabled for this repository")
	case taken:
		refuse("key is already in use")
	default:
		answer(w, http.StatusCreated, r.keyJSON(k))
	}
}

func (r *Repo) deleteKey(w http.ResponseWriter, req *http.Request) {
	n := len(r.Keys())
	r.set(func() {
		r.keys = slices.DeleteFunc(r.keys, func(k Key) bool { return fmt.Sprint(k.ID) == req.PathValue("key") })
	})
	if len(r.Keys()) == n {
		problem(w, http.StatusNotFound, "Not Found")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
