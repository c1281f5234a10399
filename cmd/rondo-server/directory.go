package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

// A directoryDesk is the directory as the pages ask for it.
type directoryDesk struct {
	set *ldapSettings
	dir *ldap.Directory
	in  *installation
}

// webDirectory is the directory as the pages ask for it; nil without one.
func (in *installation) webDirectory() web.Directory {
	if in.directory == nil {
		return nil
	}
	return directoryDesk{in.ldap, in.directory, in}
}

// Settings lists the settings in force, by the names of the file.
func (d directoryDesk) Settings(ctx context.Context, by ci.Actor) ([][2]string, error) {
	if err := d.in.allowed(ctx, by, auth.RoleRead); err != nil {
		return nil, err
	}
	return d.set.inForce()
}

// Test logs in as somebody, and puts that on record: whoever may ask tries
// passwords with it.
func (d directoryDesk) Test(ctx context.Context, login, password string, by ci.Actor) (web.DirectoryTest, error) {
	if err := d.in.allowed(ctx, by, auth.RoleWrite); err != nil {
		return web.DirectoryTest{}, err
	}
	login = cmp.Or(strings.TrimSpace(login), d.set.TestUsername)
	if login == "" {
		return web.DirectoryTest{}, fmt.Errorf("test: whom should it try? Type a login, or set ldap.test_username: %w", ci.ErrInvalid)
	}
	if password == "" && login == d.set.TestUsername && d.set.TestPassword != "" {
		var err error
		if password, err = d.set.TestPassword.read(); err != nil {
			return web.DirectoryTest{}, fmt.Errorf("ldap.test_password: %w", err)
		}
	}
	out := web.DirectoryTest{Login: login}
	act := ci.Act{Action: "rondo.directory.test", Actor: by, Target: map[string]string{"type": "directory", "id": ldap.ProviderName, "login": fmt.Sprintf("%.100s", login)}}
	try := func() bool {
		trace := d.dir.Test(ctx, login, password)
		out.OK = trace.Err == nil
		for _, s := range trace.Steps {
			out.Steps = append(out.Steps, web.DirectoryStep{Name: s.Name, Asked: s.Asked, Command: s.Command, Result: s.Result, OK: s.OK, Took: s.Took})
		}
		return out.OK || password == ""
	}
	err := d.in.recorded(ctx, act, func() error {
		return d.in.people.users.Limited(login, ci.RequestIn(ctx).Address, try)
	})
	return out, err
}

func (d directoryDesk) Matches(ctx context.Context, by ci.Actor) ([]ci.Match, error) {
	return d.in.people.users.Matches(ctx, ldap.ProviderName, by)
}

func (d directoryDesk) Link(ctx context.Context, id, login string, by ci.Actor) error {
	_, err := d.in.people.users.Link(ctx, id, ldap.ProviderName, login, by)
	return err
}

func (d directoryDesk) Unlink(ctx context.Context, id string, by ci.Actor) error {
	return d.in.people.users.Unlink(ctx, id, ldap.ProviderName, by)
}

// guide says where users who were there before the directory are brought to
// it, as long as there are some.
func (in *installation) guide(ctx context.Context) error {
	if in.directory == nil {
		return nil
	}
	all, err := in.people.users.Users(ctx, auth.Operator)
	if err != nil {
		return err
	}
	left := 0
	for _, u := range all {
		if u.Logins[ldap.ProviderName] == "" && u.Logins[auth.LocalProvider] == "" {
			left++
		}
	}
	if left > 0 {
		in.log.Warn("users are not linked to the directory yet; who is not becomes a new user at their first login there", "users", left, "page", in.url+"/admin/ldap/users", "command", "rondo-server ldap users")
	}
	return nil
}

// inForce lists the settings with their defaults, by the names of the file. Of
// secrets it says whether they are set.
func (l *ldapSettings) inForce() ([][2]string, error) {
	s := l.settings()
	s.SearchPassword = "it is not shown"
	s, err := s.Complete()
	if err != nil {
		return nil, err
	}
	secret := func(ref secretRef) string {
		if ref == "" {
			return "not set"
		}
		return "set"
	}
	roles := make([]string, 0, len(s.Groups.Roles))
	for _, r := range s.Groups.Roles {
		roles = append(roles, fmt.Sprintf("%s: %s", r.Group, r.Role))
	}
	all := [][2]string{
		{"type", string(s.Type)}, {"hostname", s.Hostname}, {"port", strconv.Itoa(s.Port)}, {"servers", strings.Join(s.Network.Others, ", ")},
		{"encryption", string(s.Encryption)}, {"ca", cmp.Or(s.Network.CAFile, l.CA)}, {"server_name", s.Network.ServerName},
		{"search_user", s.SearchUser}, {"search_password", secret(l.SearchPassword)}, {"base_dn", s.BaseDN}, {"user_search_dn", s.UserSearchDN},
		{"username_field", s.UsernameField}, {"group_membership", s.GroupMembership}, {"group_object_class", s.GroupObjectClass},
		{"test_username", l.TestUsername}, {"test_password", secret(l.TestPassword)},
		{"user_object_class", s.People.ObjectClass}, {"subject_field", s.People.Subject}, {"email_field", s.People.Email}, {"name_field", s.People.Name},
		{"group_search_dn", s.Groups.SearchDN}, {"nested_groups", string(s.Groups.Nested)}, {"group_depth", strconv.Itoa(s.Groups.Depth)},
		{"required_group", s.Groups.Required}, {"group_roles", strings.Join(roles, ", ")},
		{"timeout", s.Network.Timeout.String()}, {"connections", strconv.Itoa(s.Network.Connections)},
	}
	for i := range all {
		all[i][1] = cmp.Or(all[i][1], "none")
	}
	return all, nil
}
