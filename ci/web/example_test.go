package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// The pages of an installation: a database, the server that conducts, and the
// output of steps.
func ExampleNew() {
	db := memdb.New()
	compile := ci.CompilerFunc(func(context.Context, ci.Project, ci.Pipeline) (ci.Plan, error) { return ci.Plan{}, nil })
	server := ci.New(db, compile, ci.Config{})
	_ = db.PutProject(context.Background(), ci.Project{ID: "1", Slug: "gh/acme/shop", Org: "acme", Repo: "shop"})

	pages := web.New(server, db, web.Config{Logs: storage.NewMemLogs(), Title: "Acme CI"})

	answer := httptest.NewRecorder()
	pages.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/projects/gh/acme/shop", nil))
	fmt.Println(answer.Code, strings.Contains(answer.Body.String(), "<title>gh/acme/shop – Acme CI</title>"))
	// Output: 200 true
}

// CIRCLE_BUILD_URL is the installation's address and the path of the job.
func ExampleJobPath() {
	fmt.Println("https://ci.example" + web.JobPath(ci.Project{Slug: "gh/acme/shop"}, 12))
	// Output: https://ci.example/jobs/gh/acme/shop/12
}
