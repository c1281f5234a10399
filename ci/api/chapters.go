package api

import (
	"context"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Chapters are what an installation offers beyond its pipelines. The routes of
// one that is nil answer 404 and say that this installation has none.
type Chapters struct {
	Contexts  ci.Contexts
	Variables ci.Variables
	Keys      ci.Keys
	Schedules ci.Schedules
	Webhooks  ci.Webhooks
	Insights  Insights
	Tokens    Tokens
	Keyring   Keyring
	Audit     Audit
	Users     Users
	// Operations are the queue and the nodes, Services what the installation is
	// made of.
	Operations ci.Operations
	Services   func(ctx context.Context, by ci.Actor) ([]ci.Service, error)
	// Docs is where the API keeps what is its own; without it there are no
	// definitions, triggers, claims or allowed addresses of orbs to create.
	Docs Docs
	// PutProject writes the settings of a project.
	PutProject func(ctx context.Context, p ci.Project) error
	// Follow makes the code host tell of pushes to a repository, by its slug,
	// and creates the project if it is new; with follow false it stops that.
	Follow func(ctx context.Context, slug string, follow bool, by ci.Actor) (ci.Project, error)
	// Orgs lists the slugs of the organisations that the actor belongs to.
	Orgs func(ctx context.Context, by ci.Actor) ([]string, error)
	// MayOrg is as Config.May, for what belongs to an organisation.
	MayOrg func(ctx context.Context, by ci.Actor, org string, write bool) error
	// MaySettings says whether the actor may change the settings of a project
	// that take one of its administrators. nil leaves it to MayOrg.
	MaySettings func(ctx context.Context, by ci.Actor, p ci.Project) error
	// Compile compiles a configuration that is not committed, and returns it
	// expanded. What is wrong with it is [ci.ErrInvalid], one joined error for
	// each problem.
	Compile func(ctx context.Context, r CompileRequest) (expanded string, err error)
	// Continue gives a setup pipeline its configuration, see ci.Server.
	Continue func(ctx context.Context, key, source string, parameters map[string]any) error
}

// A CompileRequest is a configuration to be compiled for somebody to see.
type CompileRequest struct {
	Source     string
	Org        string         // slug of the organisation whose private orbs it may use
	Parameters map[string]any // of the pipeline
	Values     map[string]any // pipeline values by full name ("pipeline.git.branch")
}

// Tokens keeps the tokens of projects.
type Tokens interface {
	// ProjectToken returns what a token that somebody sent stands for; one that
	// is unknown or was taken back is [ci.ErrNotFound].
	ProjectToken(ctx context.Context, token string) (ci.ProjectToken, error)
	// ProjectTokens lists those of a project by time of making.
	ProjectTokens(ctx context.Context, p ci.ProjectID) ([]ci.ProjectToken, error)
	// CreateProjectToken makes one that is good for so long (0 is until it is
	// deleted), and returns it once.
	CreateProjectToken(ctx context.Context, p ci.ProjectID, scope ci.TokenScope, label string, life time.Duration, by ci.Actor) (ci.ProjectToken, string, error)
	DeleteProjectToken(ctx context.Context, p ci.ProjectID, id string, by ci.Actor) error
}

// Users keeps the people who may use the installation. Whether the actor may
// see or change them is for it to say, with [ci.ErrDenied].
type Users interface {
	// Users lists them by login.
	Users(ctx context.Context, by ci.Actor) ([]ci.User, error)
	// SetRole gives a user a role, Suspend takes everything or gives it back.
	// What would leave no administrator is [ci.ErrConflict].
	SetRole(ctx context.Context, id, role string, by ci.Actor) (ci.User, error)
	Suspend(ctx context.Context, id string, suspended bool, by ci.Actor) (ci.User, error)
	// DeleteUser forgets the user of a login at a forge or directory; the same
	// login elsewhere is another person.
	DeleteUser(ctx context.Context, login, forge string, by ci.Actor) error
	// SetSuspendNew says whether new users wait for an administrator.
	SetSuspendNew(ctx context.Context, suspend bool, by ci.Actor) error
	Sessions(ctx context.Context, id string, by ci.Actor) ([]ci.Session, error)
	// EndSessions logs a user out everywhere.
	EndSessions(ctx context.Context, id string, by ci.Actor) error
}

// A Migration brings users that exist to a directory that is new here. The
// Users of [Chapters] may be one.
type Migration interface {
	// Preview says what would become of each user if people of the directory
	// were recognised by "email" or "login". It changes nothing.
	Preview(ctx context.Context, directory, rule string, by ci.Actor) ([]ci.Joining, error)
	// Join recognises them so from now on; with "" no longer.
	Join(ctx context.Context, directory, rule string, by ci.Actor) error
}

// UserLinks bring users that exist to a directory one by one. The Users of
// [Chapters] may have them.
type UserLinks interface {
	// Matches lists all users, and who of the directory may be the same person.
	Matches(ctx context.Context, directory string, by ci.Actor) ([]ci.Match, error)
	// Link lets a user log in as the login of the directory, Unlink no longer.
	Link(ctx context.Context, id, directory, login string, by ci.Actor) (ci.User, error)
	Unlink(ctx context.Context, id, directory string, by ci.Actor) error
}

// Passwords are those that are kept here. The Users of [Chapters] may have
// them.
type Passwords interface {
	// ResetPassword takes the password of an account away ("" is the only one)
	// and returns the token of /create-password for another.
	ResetPassword(ctx context.Context, login string, by ci.Actor) (token string, err error)
}

// Keyring is what stored secrets are encrypted with. Whether the actor may see
// or turn its keys is for it to say, with [ci.ErrDenied].
type Keyring interface {
	// SealingKeys lists the keys, the primary one first.
	SealingKeys(ctx context.Context, by ci.Actor) ([]ci.SealingKey, error)
	// RotateKeys makes a new primary key and returns it. What is stored follows
	// while the server runs.
	RotateKeys(ctx context.Context, by ci.Actor) (ci.SealingKey, error)
}
