package webhook

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The states of a message.
const (
	pending   = "pending"
	delivered = "delivered"
	failed    = "failed"
)

// A message is what goes out, as its document keeps it: what the log shows,
// and as long as it has to go out the bytes.
type message struct {
	ci.Delivery
	Payload string `json:"payload"`
}

// newMessage returns the document of a message that is due now.
func newMessage(h hook, event, id string, payload []byte, now time.Time) (ci.Doc, error) {
	m := message{Payload: string(payload), Delivery: ci.Delivery{
		ID: id, Webhook: h.ID, Event: event, State: pending, Created: now, Next: now,
	}}
	d := ci.Doc{Kind: kindMessage, ID: id, Scope: h.ID, Name: now.UTC().Format("20060102T150405.000") + "-" + id, Due: now}
	return d, m.into(&d)
}

// openMessage reads a document.
func openMessage(d ci.Doc) (message, error) {
	var m message
	if err := json.Unmarshal(d.Body, &m); err != nil {
		return message{}, fmt.Errorf("webhook message %s: %w", d.ID, err)
	}
	return m, nil
}

// into writes the message into its document.
func (m message) into(d *ci.Doc) (err error) {
	d.Body, err = json.Marshal(m)
	return err
}

// An outcome is how one try went: the status of the answer, or what kind of
// failure it was, and for the operator's log why.
type outcome struct {
	status int
	kind   string
	err    error
}

// good reports whether the receiver has it.
func (o outcome) good() bool { return o.status >= 200 && o.status <= 299 }

// after notes a try and says when the document is due again: for the next try,
// or to be removed. A test message is tried once.
func (m *message) after(o outcome, now time.Time) (due time.Time) {
	m.Status, m.Error, m.Next = o.status, "", time.Time{}
	if !o.good() {
		m.Error = o.kind
	}
	end := m.Created.Add(giveUp)
	switch {
	case o.good():
		m.State, m.Payload = delivered, "" // only the log needs it now
	case m.Event == Ping || !now.Before(end):
		m.State, m.Payload = failed, ""
	default:
		m.Next = now.Add(pause(m.Attempts, rand.Float64()))
		if m.Next.After(end) {
			m.Next = end // the last chance
		}
		return m.Next
	}
	return m.Created.Add(keep)
}

// The shortest and the longest wait between two tries.
const (
	firstPause   = 5 * time.Second
	longestPause = time.Hour
)

// pause returns the wait after the n-th try: it doubles, and where in its
// second half it falls is left to chance (0 to 1), so that messages that
// failed together do not come back together.
func pause(n int, chance float64) time.Duration {
	wait := firstPause << min(max(n-1, 0), 20)
	wait = min(wait, longestPause)
	return wait/2 + time.Duration(chance*float64(wait/2))
}
