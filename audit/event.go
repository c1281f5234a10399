package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// An Event is one act as it is kept and shown: the fields that the operator's
// guide documents ("Audit Log Fields"), in this order.
type Event struct {
	ID      string `json:"id"`      // UUID, unique; duplicates share it
	Version int    `json:"version"` // of the schema, 1
	Action  string `json:"action"`
	Success bool   `json:"success"`
	// Occurred is in UTC with up to nine digits of a second's fraction.
	Occurred time.Time `json:"occurred_at"`
	Actor    Party     `json:"actor"`
	Target   Party     `json:"target"`
	// Scope is the account that the target belongs to, or the target's project.
	Scope Party `json:"scope"`
	// Payload is what the action has to tell, see [Catalogue].
	Payload  json.RawMessage   `json:"payload"`
	Metadata map[string]string `json:"metadata"`
	Request  Origin            `json:"request"`
}

// A Party is who acted or what was acted upon.
type Party struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Name string `json:"name,omitempty"`
}

// An Origin is the request that caused an event; without one ID is "".
type Origin struct {
	ID      string `json:"id"`
	Address string `json:"ip_address,omitempty"` // IPv4; another is metadata ip_v6
	Trace   string `json:"client_trace_id,omitempty"`
}

// maxEvent is the size in bytes of the largest event.
const maxEvent = 256 << 10

// encode writes JSON on one line, with <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ParseEvent reads an event; fields that it does not know are ignored, absent
// ones are zero. What is no event is [ci.ErrInvalid].
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("read event: %v: %w", err, ci.ErrInvalid)
	}
	return e, nil
}

// check says what is wrong with an event as the guide defines it.
func (e Event) check() error {
	switch {
	case !goodAction(e.Action):
		return fmt.Errorf("action %.60q is not dotted words in lower case: %w", e.Action, ci.ErrInvalid)
	case e.Actor.Type == "" || e.Target.Type == "":
		return fmt.Errorf("event %s: actor and target need a type: %w", e.Action, ci.ErrInvalid)
	}
	return nil
}

func goodAction(a string) bool {
	for word := range strings.SplitSeq(a, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
	}
	return len(a) <= 100 && strings.Contains(a, ".")
}
