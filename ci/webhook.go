package ci

import "time"

// A Webhook tells an address outside of what happens in a project.
type Webhook struct {
	ID      string    `json:"id"` // a UUID
	Project ProjectID `json:"project"`
	Name    string    `json:"name"`
	URL     string    `json:"url"`
	// Events are "workflow-completed" and "job-completed".
	Events []string `json:"events"`
	// NoVerify leaves the certificate of the address unchecked.
	NoVerify bool `json:"no_verify,omitempty"`
	// Secret signs the deliveries when it is written; what is read back is
	// "****" and its last four characters. "" is none.
	Secret  string    `json:"-"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// A Delivery is one message to a [Webhook], kept from before the first try
// until some time after the last.
type Delivery struct {
	ID      string `json:"id"`
	Webhook string `json:"webhook"`
	Event   string `json:"event"` // "workflow-completed", "job-completed" or "ping"
	// State is "pending", "delivered" or "failed" (given up after 24 hours).
	State    string    `json:"state"`
	Attempts int       `json:"attempts"`
	Status   int       `json:"status,omitempty"` // HTTP status of the last answer
	Error    string    `json:"error,omitempty"`  // why the last attempt failed
	Created  time.Time `json:"created"`
	Tried    time.Time `json:"tried,omitzero"` // when the last attempt was
	Next     time.Time `json:"next,omitzero"`  // when the next one is
}
