package ldap_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
)

// A login of somebody who is in a group of a group, and one that is refused.
func Example() {
	server := authtest.NewDirectory(authtest.OpenLDAP)
	k, stop, err := authtest.Listen(server, ldap.StartTLS)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = stop() }()
	_ = errors.Join(
		server.AddPerson(authtest.Person{Login: "ada", Password: "secret", Name: "Ada Lovelace", Mail: "ada@example.org"}),
		server.AddGroup("developers", "ada"), server.AddGroup("operators", "developers"))

	settings := k.Settings() // type, hostname, port, search user and the other fields of the guide
	settings.Groups.Required = "developers"
	settings.Groups.Roles = []ldap.RoleOf{{Group: "operators", Role: "operator"}}
	directory, err := ldap.New(settings, ldap.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer directory.Close()
	ctx := context.Background()
	who, err := directory.Login(ctx, "ada", "secret")
	fmt.Println(who.Login, who.Name, who.Emails, who.Groups, who.Role, err)
	_, err = directory.Login(ctx, "ada", "guess")
	fmt.Println(errors.Is(err, ci.ErrDenied), err)
	_ = server.Set("ada", authtest.Gone)
	_, err = directory.Lookup(ctx, who.Subject)
	fmt.Println(errors.Is(err, ci.ErrNotFound))
	// Output:
	// ada Ada Lovelace [ada@example.org] [developers operators] operator <nil>
	// true ldap login: password: the password is wrong, or the entry has none
	// true
}
