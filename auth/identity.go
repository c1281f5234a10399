package auth

import (
	"context"
	"time"
)

// An Identity is a person as a directory or a code host knows them.
type Identity struct {
	// Provider is who says so: "ldap", "github", "local".
	Provider string `json:"provider"`
	// Subject is the provider's own name for the person, which survives a new
	// login, name or place in the tree.
	Subject string   `json:"subject"`
	Login   string   `json:"login"`
	Name    string   `json:"name,omitempty"`
	Emails  []string `json:"emails,omitempty"` // the first is the main one
	// Groups are the names of the groups that the person is in.
	Groups []string `json:"groups,omitempty"`
	// Role is what the groups entitle to, by the settings of the provider; ""
	// is nothing more than any other user.
	Role Role `json:"role,omitempty"`
	// AsOf is since when all of this was so at least; zero is now. What is
	// older is asked for again as much sooner.
	AsOf time.Time `json:"-"`
}

// A Role says what a user may do in the whole installation. What they may do
// in a project is that of the code host, or everything where there is none.
type Role string

// The roles, in the words of the guide. Each of the first four may do what the
// one before it may; an auditor reads the book of who did what, an operator
// handles the queue and the nodes.
const (
	RoleNone     Role = ""
	RoleRead     Role = "read-settings"
	RoleWrite    Role = "write-settings"
	RoleAll      Role = "all" // an administrator
	RoleAuditor  Role = "auditor"
	RoleOperator Role = "operator"
)

// A Provider proves who somebody is by a login and a password, and says later
// whether that still holds.
type Provider interface {
	// Name is the Provider of its identities.
	Name() string
	// Login returns the identity. A wrong login or password, a person that may
	// not log in (disabled, expired, not in a required group), is
	// [ci.ErrDenied], with a text for operators; any other error means that the
	// provider could not be asked.
	Login(ctx context.Context, login, password string) (Identity, error)
	// Lookup returns the identity as it is now. One that is gone or may not log
	// in any more is [ci.ErrNotFound].
	Lookup(ctx context.Context, subject string) (Identity, error)
}
