package secret_test

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/secret/secrettest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A context is kept from other projects, and a job of the right one gets it.
func Example() {
	ctx := context.Background()
	safe := secret.New(memdb.New(), secrettest.New(), secret.Config{})
	ada := ci.Actor{Kind: ci.ActorUser, Login: "ada"}
	prod, err := safe.CreateContext(ctx, "gh/acme", "prod", ada)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := safe.SetVariable(ctx, ci.Holder{Context: prod.ID}, "TOKEN", "correct horse", ada)
	fmt.Println(v.Name, v.Masked, err)
	_, err = safe.Restrict(ctx, prod.ID, ci.RestrictProject, "p1", ada)
	fmt.Println(err)

	for _, p := range []ci.Project{{ID: "p1", Slug: "gh/acme/shop"}, {ID: "p2", Slug: "gh/acme/toys"}} {
		vars, _, err := safe.Resolve(ctx, ci.Need{Project: p, Contexts: []string{"prod"}, Actor: ada})
		fmt.Println(vars, err)
	}
	// Output:
	// TOKEN xxxxorse <nil>
	// <nil>
	// [{TOKEN correct horse true}] <nil>
	// [] context "prod": it is restricted to other projects than gh/acme/toys: an administrator of gh/acme can add this one: denied
}

// A job that was denied can be told why, and by whom it can be helped.
func ExampleSafe_Explain() {
	ctx := context.Background()
	safe := secret.New(memdb.New(), secrettest.New(), secret.Config{
		Groups: func(_ context.Context, org string, of ci.Actor) ([]string, error) {
			if of.Login == "ada" {
				return []string{secret.AllMembers, "deployers"}, nil
			}
			return []string{secret.AllMembers}, nil
		},
	})
	ada, bob := ci.Actor{Kind: ci.ActorUser, Login: "ada"}, ci.Actor{Kind: ci.ActorUser, Login: "bob"}
	prod, err := safe.CreateContext(ctx, "gh/acme", "prod", ada)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := safe.Restrict(ctx, prod.ID, ci.RestrictGroup, "deployers", ada); err != nil {
		fmt.Println(err)
		return
	}
	for _, by := range []ci.Actor{bob, ada} {
		n := ci.Need{Project: ci.Project{ID: "p1", Slug: "gh/acme/shop"}, Contexts: []string{"prod"}, Actor: by}
		decisions, err := safe.Explain(ctx, n)
		fmt.Println(decisions[0].Allowed, decisions[0].Reason, err)
	}
	// Output:
	// false bob is not in the group deployers that it is restricted to: ask a member or an administrator of gh/acme to run or approve the job <nil>
	// true the job passes its restrictions <nil>
}
