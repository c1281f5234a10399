package github_test

import (
	"fmt"

	"github.com/rondo-ci/rondo/auth/github"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func ExampleNew() {
	login, err := github.New(memdb.New(), plain{}, github.Config{
		Server: "https://ci.example.com", ID: "Iv1.0123456789", Orgs: []string{"acme"},
		Secret: func() (string, error) { return "from a file", nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	b := login.Button()
	fmt.Println(b.Title, b.Path, b.To)
	// Output: GitHub /auth/github https://github.com
}
