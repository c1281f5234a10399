package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/webhook"
	"github.com/rondo-ci/rondo/storage/memdb"
)

func ExampleNew() {
	ctx := context.Background()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("circleci-event-type"))
	}))
	defer receiver.Close()
	db := memdb.New()
	_ = db.PutProject(ctx, ci.Project{ID: "shop", Slug: "gh/acme/shop", Org: "acme", Repo: "shop"})
	courier := webhook.New(db, db, webhook.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	hook, err := courier.PutWebhook(ctx, ci.Webhook{
		Project: "shop", Name: "chat", URL: receiver.URL, Events: []string{webhook.WorkflowCompleted},
	}, ci.Actor{})
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := courier.PingWebhook(ctx, hook.ID, ci.Actor{})
	fmt.Println(d.State, d.Status, err)
	// Output:
	// ping
	// delivered 200 <nil>
}

func ExampleSignature() {
	fmt.Println(webhook.Signature([]byte("secret"), []byte("hello world")))
	// Output: v1=734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a
}
