package authtest

import (
	"github.com/rondo-ci/rondo/auth/ldap"
)

// A Person is somebody in a directory under test.
type Person struct {
	Login, Password string
	// Name is the cn and the first part of the DN; it may hold anything.
	Name, Mail string
	Unit       string // people, staff (below people) or outside; "" is people
}

// A State is what stands between a person and a login.
type State string

// The states that every directory knows.
const (
	Disabled   State = "disabled"
	Expired    State = "expired"
	Locked     State = "locked" // by too many wrong passwords
	MustChange State = "must-change"
	Gone       State = "gone" // deleted
)

// A Keeper changes a directory under test as its administrators do. People are
// named by their login, groups by their cn.
type Keeper interface {
	// Settings are those of the directory's own kind, with people, staff and
	// outside as units, and the search user.
	Settings() ldap.Settings
	AddPerson(p Person) error
	AddGroup(name string, members ...string) error
	AddMember(group, member string) error
	Move(login, unit string) error
	// Rename gives a person another login, name and DN.
	Rename(login, to string) error
	Set(login string, s State) error
}

// served is a directory that listens.
type served struct {
	*Directory
	settings ldap.Settings
}

// Settings are how to reach it.
func (s served) Settings() ldap.Settings { return s.settings }

var _ Keeper = served{}
