package ci

import "time"

// A User is a person with an account in the installation, as it may be shown
// to those who look after it.
type User struct {
	ID     string   `json:"id"`
	Login  string   `json:"login"`
	Name   string   `json:"name,omitempty"`
	Emails []string `json:"emails,omitempty"` // the first is the main one
	// Role is what the user may do in the whole installation, in the words of
	// the guide: "" (nothing more than others), "read-settings",
	// "write-settings", "all", "auditor", "operator".
	Role string `json:"role,omitempty"`
	// Suspended says why the user may do nothing; "" is an active one.
	Suspended string `json:"suspended,omitempty"`
	// Logins are what the user is called by who proves it: "github", "ldap",
	// "local".
	Logins  map[string]string `json:"logins,omitempty"`
	Created time.Time         `json:"created"`
	// SignIns counts logins; Current is the newest, Last the one before.
	SignIns int    `json:"sign_ins"`
	Current SignIn `json:"current"`
	Last    SignIn `json:"last"`
}

// A SignIn is a login of a [User]; zero if there was none.
type SignIn struct {
	At      time.Time `json:"at"`
	Address string    `json:"address"`
}

// A Joining is what becomes of a [User] when people who come from a directory
// for the first time are recognised as users that exist.
type Joining struct {
	User User `json:"user"`
	// Key is the login or the addresses by which they are recognised.
	Key []string `json:"key"`
	// Problem says why they cannot be; "" is nothing.
	Problem string `json:"problem,omitempty"`
}

// A Match is a [User] and who in a directory may be the same person.
type Match struct {
	User User `json:"user"`
	// Linked is the user's login there; "" if there is none.
	Linked string `json:"linked,omitempty"`
	// Found are the logins there of who may be the same person, By is why:
	// "email" or "login".
	Found []string `json:"found"`
	By    string   `json:"by,omitempty"`
	// Problem says what stands against a link; "" is nothing.
	Problem string `json:"problem,omitempty"`
}

// A Session is a browser in which a [User] is logged in.
type Session struct {
	ID      string    `json:"id"` // to name it by, not to enter with
	User    string    `json:"user"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"` // to within some minutes
	Address string    `json:"address"`
	Agent   string    `json:"agent"` // how the browser calls itself
}
