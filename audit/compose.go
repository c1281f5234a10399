package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// lists are the keys of a target whose value is several, with commas.
var lists = []string{"contexts", "variables", "keys"}

// denied are the keys that must never stand in an event, whoever hands them
// over: their value would be a secret.
var denied = []string{"value", "token", "password", "secret", "private", "private_key"}

// compose makes the event of an act. What the action's payload does not have
// goes into the metadata, as text.
func compose(a ci.Act, now time.Time) (Event, error) {
	e := Event{ID: ci.NewID(), Version: 1, Action: a.Action, Success: a.Success, Occurred: a.At, Metadata: map[string]string{}}
	if e.Occurred.IsZero() {
		e.Occurred = now
	}
	e.Occurred = e.Occurred.UTC()
	e.Actor = party(a.Actor)
	e.Target = Party{ID: a.Target["id"], Type: a.Target["type"], Name: a.Target["name"]}
	if e.Target.Type == "" {
		e.Target.Type = "installation"
	}
	e.Scope = e.Target
	if org := a.Target["org"]; org != "" {
		e.Scope = Party{ID: org, Type: "org", Name: org}
	}
	e.Request = origin(a.Request, e.Metadata)
	if a.Reason != "" {
		e.Metadata["reason"] = a.Reason
	}
	known, found := Find(a.Action)
	payload := map[string]any{}
	for _, k := range slices.Sorted(maps.Keys(a.Target)) {
		v := strings.ToValidUTF8(a.Target[k], "\uFFFD")
		switch {
		case k == "type" || k == "id" || k == "name" || k == "org":
		case slices.Contains(denied, k) && !found:
			return Event{}, fmt.Errorf("event %s: its target must not have %q, which may be a secret: %w", a.Action, k, ci.ErrInvalid)
		case !found || !known.has(k):
			if slices.Contains(denied, k) {
				return Event{}, fmt.Errorf("event %s: its target must not have %q, which may be a secret: %w", a.Action, k, ci.ErrInvalid)
			}
			e.Metadata[k] = v
		default:
			setField(payload, k, v)
		}
	}
	var err error
	if e.Payload, err = encode(payload); err != nil {
		return Event{}, err
	}
	return shorten(e), e.check()
}

// setField sets a field of the payload; a dot in its key is a level.
func setField(payload map[string]any, key, value string) {
	at := payload
	for head, rest, deep := strings.Cut(key, "."); deep; head, rest, deep = strings.Cut(rest, ".") {
		next, ok := at[head].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[head] = next
		}
		at, key = next, rest
	}
	if !slices.Contains(lists, key) {
		at[key] = value
		return
	}
	at[key] = []string{}
	if value != "" {
		at[key] = strings.Split(value, ",")
	}
}

// shorten cuts what makes the event too large, and says so.
func shorten(e Event) Event {
	size := len(e.Payload)
	for k, v := range e.Metadata {
		size += len(k) + len(v)
	}
	if size <= maxEvent {
		return e
	}
	e.Payload = json.RawMessage(`{}`)
	for k, v := range e.Metadata {
		if len(v) > 1024 {
			v = v[:1024]
			for !utf8.ValidString(v) {
				v = v[:len(v)-1]
			}
			e.Metadata[k] = v
		}
	}
	e.Metadata["truncated"] = "true"
	return e
}

// party is the actor as the event names it.
func party(a ci.Actor) Party {
	p := Party{ID: a.ID, Type: string(a.Kind), Name: a.Login}
	switch a.Kind {
	case ci.ActorSystem:
		p = Party{ID: "system", Type: "system", Name: a.Login}
	case ci.ActorForge:
		p.Type = "webhook"
	case ci.ActorProject:
		p.Type = "api_token"
	}
	return p
}

// origin is the request as the event has it.
func origin(r ci.Request, metadata map[string]string) Origin {
	o := Origin{ID: r.ID, Trace: r.Trace}
	ip, err := netip.ParseAddr(r.Address)
	switch ip = ip.Unmap(); {
	case err != nil:
		if net, err := netip.ParsePrefix(r.Address); err == nil { // that of one host of IPv6
			metadata["ip_v6"] = net.String()
		}
	case ip.Is4():
		o.Address = ip.String()
	default:
		metadata["ip_v6"] = ip.String()
	}
	return o
}
