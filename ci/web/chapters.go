package web

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Chapters are what an installation offers beyond its pipelines, and who may
// have it. The pages of one that is nil are not linked, and say why they are
// not there.
type Chapters struct {
	Contexts  Contexts
	Variables Variables
	Keys      Keys
	Schedules Schedules
	Webhooks  Webhooks
	Tokens    Tokens
	Account   Account
	Audit     Audit
	Users     Users
	// PutProject writes the settings of a project.
	PutProject func(ctx context.Context, p ci.Project) error
	// Follow makes the code host tell of pushes to a repository, by its slug,
	// and creates the project if it is new; with follow false it stops that.
	Follow func(ctx context.Context, slug string, follow bool, by ci.Actor) (ci.Project, error)
	// Orgs lists the slugs of the organisations that the actor belongs to. nil
	// takes those of the projects.
	Orgs func(ctx context.Context, by ci.Actor) ([]string, error)
	// May says whether the actor may read the project, or change things in it:
	// nil, [ci.ErrDenied], or [ci.ErrNotFound] when the actor may not even know
	// that it exists. MayOrg is the same for what belongs to an organisation.
	// nil allows everything to whom Config.Authorize lets in.
	May    func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error
	MayOrg func(ctx context.Context, by ci.Actor, org string, write bool) error
	// MaySettings says whether the actor may change the settings of a project
	// that take one of its administrators. nil allows it to who may change the
	// project.
	MaySettings func(ctx context.Context, by ci.Actor, p ci.Project) error
	// NextRuns returns the next n times at which a timetable triggers. What is
	// wrong with it is [ci.ErrInvalid]. nil shows no preview.
	NextRuns func(t ci.Timetable, after time.Time, n int) ([]time.Time, error)
	// Badge returns the path of a project's badge as SVG; branch "" is the
	// default one. nil has no badges.
	Badge func(p ci.Project, branch string) string
	// Address is where people find this installation, as in
	// "https://ci.example". With "" what people copy lacks it.
	Address string
}

// Contexts keeps contexts and who may use them. Whether the actor may change
// them is for it to say, with [ci.ErrDenied].
type Contexts interface {
	// Contexts lists those of an organisation by name.
	Contexts(ctx context.Context, org string) ([]ci.Context, error)
	Context(ctx context.Context, id ci.ContextID) (ci.Context, error)
	// CreateContext makes one. A name that is taken is [ci.ErrConflict].
	CreateContext(ctx context.Context, org, name string, by ci.Actor) (ci.Context, error)
	// DeleteContext removes it with its variables and restrictions.
	DeleteContext(ctx context.Context, id ci.ContextID, by ci.Actor) error
	Restrictions(ctx context.Context, id ci.ContextID) ([]ci.Restriction, error)
	// Restrict adds one. The same twice is [ci.ErrConflict].
	Restrict(ctx context.Context, id ci.ContextID, kind ci.RestrictionKind, value string, by ci.Actor) (ci.Restriction, error)
	Unrestrict(ctx context.Context, id ci.ContextID, restriction string, by ci.Actor) error
}

// Variables keeps the variables of contexts and projects.
type Variables interface {
	// Variables lists them by name.
	Variables(ctx context.Context, of ci.Holder) ([]ci.Variable, error)
	// SetVariable makes or replaces one.
	SetVariable(ctx context.Context, of ci.Holder, name, value string, by ci.Actor) (ci.Variable, error)
	DeleteVariable(ctx context.Context, of ci.Holder, name string, by ci.Actor) error
}

// Keys keeps the SSH keys of projects.
type Keys interface {
	// Keys lists them, the preferred one first.
	Keys(ctx context.Context, p ci.ProjectID) ([]ci.Key, error)
	// CreateKey makes a checkout key and tells the code host about it.
	CreateKey(ctx context.Context, p ci.ProjectID, kind ci.KeyKind, by ci.Actor) (ci.Key, error)
	// AddKey takes a private key in PEM form for a host; "" is any.
	AddKey(ctx context.Context, p ci.ProjectID, host, private string, by ci.Actor) (ci.Key, error)
	// DeleteKey removes the key with that fingerprint, in either form.
	DeleteKey(ctx context.Context, p ci.ProjectID, fingerprint string, by ci.Actor) error
}

// Schedules keeps the scheduled pipelines of projects.
type Schedules interface {
	// Schedules lists those of a project by name.
	Schedules(ctx context.Context, p ci.ProjectID) ([]ci.ScheduledPipeline, error)
	Schedule(ctx context.Context, id string) (ci.ScheduledPipeline, error)
	// PutSchedule writes it, under a new ID if it has none, and returns it as
	// kept. What is wrong with it is [ci.ErrInvalid].
	PutSchedule(ctx context.Context, s ci.ScheduledPipeline, by ci.Actor) (ci.ScheduledPipeline, error)
	DeleteSchedule(ctx context.Context, id string, by ci.Actor) error
}

// Webhooks keeps the outbound webhooks of projects.
type Webhooks interface {
	Webhooks(ctx context.Context, p ci.ProjectID) ([]ci.Webhook, error)
	Webhook(ctx context.Context, id string) (ci.Webhook, error)
	// PutWebhook writes it, under a new ID if it has none, and returns it as
	// kept. An empty Secret of one that exists leaves the secret.
	PutWebhook(ctx context.Context, w ci.Webhook, by ci.Actor) (ci.Webhook, error)
	DeleteWebhook(ctx context.Context, id string, by ci.Actor) error
	// PingWebhook sends a test message and returns how that went.
	PingWebhook(ctx context.Context, id string, by ci.Actor) (ci.Delivery, error)
	// Deliveries lists the newest messages first.
	Deliveries(ctx context.Context, id string) ([]ci.Delivery, error)
}

// An absent is a page of a chapter that this installation does not have. It is
// ci.ErrNotFound.
type absent struct{ what string }

func (a absent) Error() string { return fmt.Sprintf("this installation has no %s", a.what) }

func (a absent) Unwrap() error { return ci.ErrNotFound }
