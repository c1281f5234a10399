package github_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// A GitHub Enterprise that pushes to Rondo, with webhooks at /hooks/github.
func Example() {
	db := memdb.New()
	server := ci.New(db, nil, ci.Config{})
	host, err := github.New(db, github.Config{
		URL:    "https://ghe.example.com",
		Server: "https://ci.example.com",
		Token:  func(context.Context) (string, error) { return "a token", nil },
		Secrets: func(context.Context, ci.ProjectID) ([]string, error) {
			return []string{"at least 32 bytes of randomness.."}, nil
		},
		Trigger: server.Trigger,
		Events:  server.Follow,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle(github.HookPath, host.Handler())
	// And beside the server: go host.Run(ctx)

	_, err = host.Follow(context.Background(), "bb/acme/shop", true, ci.Actor{})
	fmt.Println(err)
	// Output:
	// follow bb/acme/shop: project "bb/acme/shop" is none of this code host; it should look like gh/owner/repository: not found
}
