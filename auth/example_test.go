package auth_test

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// Whoever comes with the link that was printed is the administrator; who logs
// in without it is a user like others.
func ExampleUsers() {
	ctx := context.Background()
	docs := memdb.New()
	local := auth.NewLocal(docs)
	users := auth.NewUsers(docs, auth.Config{Providers: []auth.Provider{local}})
	token, _ := users.Bootstrap(ctx, false)
	for _, login := range []string{"ada", "bob"} {
		_, _ = local.SetPassword(ctx, login, "correct horse battery")
	}
	bob, _, _ := users.Login(ctx, "bob", "correct horse battery", auth.Visit{})
	ada, session, _ := users.Login(ctx, "ada", "correct horse battery", auth.Visit{Bootstrap: token})
	fmt.Printf("%q %q\n", bob.Role, ada.Role)
	_ = users.LogOut(ctx, session)
	_, _, err := users.Session(ctx, session)
	fmt.Println(err)
	// Output:
	// "" "all"
	// log in first: denied
}
