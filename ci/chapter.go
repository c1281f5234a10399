package ci

import "context"

// The interfaces here are what both the API and the pages ask of the chapters
// of an installation.

// Contexts keeps contexts and who may use them. Whether the actor may change
// them is for it to say, with [ErrDenied].
type Contexts interface {
	// Contexts lists those of an organisation by name; of all with org "".
	Contexts(ctx context.Context, org string) ([]Context, error)
	Context(ctx context.Context, id ContextID) (Context, error)
	// CreateContext makes one. A name that is taken is [ErrConflict], with a
	// text that contains "already exists": clients look for that.
	CreateContext(ctx context.Context, org, name string, by Actor) (Context, error)
	// DeleteContext removes it with its variables and restrictions.
	DeleteContext(ctx context.Context, id ContextID, by Actor) error
	Restrictions(ctx context.Context, id ContextID) ([]Restriction, error)
	// Restrict adds one. The same twice is [ErrConflict].
	Restrict(ctx context.Context, id ContextID, kind RestrictionKind, value string, by Actor) (Restriction, error)
	Unrestrict(ctx context.Context, id ContextID, restriction string, by Actor) error
}

// Variables keeps the variables of contexts and projects.
type Variables interface {
	// Variables lists them by name.
	Variables(ctx context.Context, of Holder) ([]Variable, error)
	// SetVariable makes or replaces one.
	SetVariable(ctx context.Context, of Holder, name, value string, by Actor) (Variable, error)
	DeleteVariable(ctx context.Context, of Holder, name string, by Actor) error
}

// Keys keeps the SSH keys of projects.
type Keys interface {
	// Keys lists them, the preferred one first.
	Keys(ctx context.Context, p ProjectID) ([]Key, error)
	// CreateKey makes a checkout key and tells the code host about it.
	CreateKey(ctx context.Context, p ProjectID, kind KeyKind, by Actor) (Key, error)
	// AddKey takes a private key in PEM form for a host; "" is any.
	AddKey(ctx context.Context, p ProjectID, host, private string, by Actor) (Key, error)
	// DeleteKey removes the key with that fingerprint, in either form.
	DeleteKey(ctx context.Context, p ProjectID, fingerprint string, by Actor) error
}

// Schedules keeps the scheduled pipelines of projects.
type Schedules interface {
	// Schedules lists those of a project by name.
	Schedules(ctx context.Context, p ProjectID) ([]ScheduledPipeline, error)
	Schedule(ctx context.Context, id string) (ScheduledPipeline, error)
	// PutSchedule writes it, under a new ID if it has none, and returns it as
	// kept. What is wrong with it is [ErrInvalid].
	PutSchedule(ctx context.Context, s ScheduledPipeline, by Actor) (ScheduledPipeline, error)
	DeleteSchedule(ctx context.Context, id string, by Actor) error
}

// Webhooks keeps the outbound webhooks of projects.
type Webhooks interface {
	Webhooks(ctx context.Context, p ProjectID) ([]Webhook, error)
	Webhook(ctx context.Context, id string) (Webhook, error)
	// PutWebhook writes it, under a new ID if it has none, and returns it as
	// kept. An empty Secret of one that exists leaves the secret.
	PutWebhook(ctx context.Context, w Webhook, by Actor) (Webhook, error)
	DeleteWebhook(ctx context.Context, id string, by Actor) error
	// PingWebhook sends a test message and returns how that went.
	PingWebhook(ctx context.Context, id string, by Actor) (Delivery, error)
	// Deliveries lists the newest messages first.
	Deliveries(ctx context.Context, id string) ([]Delivery, error)
}
