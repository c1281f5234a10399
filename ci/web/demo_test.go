package web_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// demoPlan is a workflow of the usual shape.
func demoPlan() ci.Plan {
	test := build("test", "build")
	test.Parallelism = 3
	report := build("tell-the-team", "deploy-to-staging")
	report.Requires[0].Statuses = []ci.Status{ci.Failed, ci.Success}
	return flow(build("checkout-and-prepare"), build("build", "checkout-and-prepare"), build("lint", "checkout-and-prepare"),
		test, build("integration", "build"), build("package", "build", "lint"),
		build("deploy-to-staging", "test", "integration", "package"), report,
		ci.PlannedJob{Name: "approve-production", Type: ci.JobApproval, Requires: []ci.Requirement{{Job: "package"}}},
		build("deploy-to-production", "approve-production"))
}

// demo fills a world with something of everything and returns the workflow
// that is in the middle of it.
func demo(w *world) ci.WorkflowID {
	for i := range 25 {
		p, flows := w.run(func(t *ci.Trigger) {
			t.Branch = []string{"main", "fix/cart-total", "renovate/go-1.x"}[i%3]
			t.Subject = []string{"Count the cart in cents", "Say why a coupon was refused", "Update Go to 1.26.8"}[i%3]
			t.Author = "Ada Lovelace"
			t.PullRequests = []string{"https://git.example/shop/pull/7", "javascript:alert(1)"}
			t.Body = "Floats lost a cent on 17 % of the carts.\n\nSee the ticket."
		})
		_ = p
		switch i % 4 {
		case 0:
			require.NoError(w.t, w.server.Cancel(w.ctx, flows[0].ID, ci.Actor{Kind: ci.ActorUser, Login: "bob"}))
		case 1:
			w.through(flows[0].ID, "checkout-and-prepare", ci.Success)
			w.through(flows[0].ID, "lint", ci.Failed)
			w.through(flows[0].ID, "build", ci.Failed)
		}
	}
	_, flows := w.run(func(t *ci.Trigger) { t.Subject = "Ship on Fridays too" })
	id := flows[0].ID
	w.through(id, "checkout-and-prepare", ci.Success)
	w.through(id, "build", ci.Success)
	w.through(id, "lint", ci.Failed)
	_, err := w.server.Rerun(w.ctx, id, ci.Rerun{Jobs: []ci.JobID{w.job(id, "lint").ID}}, ci.Actor{Kind: ci.ActorUser, Login: "eve"})
	require.NoError(w.t, err)
	w.through(id, "lint", ci.Success)
	w.through(id, "package", ci.Success)
	return id
}

// through runs a job to its end.
func (w *world) through(id ci.WorkflowID, name string, s ci.Status) {
	j := w.job(id, name)
	l := w.claim(id, j.ID.Task(0))
	w.someSteps(l)
	code := 0
	if s != ci.Success {
		code = 1
		require.NoError(w.t, w.db.PutTests(w.ctx, l, []ci.Test{
			{Name: "TestTotal/empty", Classname: "shop/cart", Result: "success", Seconds: 0.012},
			{Name: "TestTotal/coupon", Classname: "shop/cart", Result: "failure", Seconds: 1.52, Message: "cart_test.go:41: want 1799, got 1800\n\tin currency EUR", File: "cart/cart_test.go"},
			{Name: "TestSlow", Classname: "shop/cart", Result: "skipped"},
		}))
	}
	w.step(l, ci.Step{Index: 3, Kind: ci.StepRun, Name: "go test ./...", Command: "go test -race ./...", Status: s, ExitCode: code})
	w.store(l, "coverage/index.html", `<link rel="stylesheet" href="s/style.css"><h1>83 %</h1><img src="s/p.svg"><script>alert(1)</script>`)
	w.store(l, "coverage/s/style.css", "h1 { color: green }")
	w.store(l, "coverage/s/p.svg", `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="40" height="40" fill="red"/></svg>`)
	w.store(l, "shop.tar.gz", strings.Repeat("x", 23456))
	w.finish(l, s)
}

func (w *world) someSteps(l ci.Lease) {
	w.step(l, ci.Step{Index: 0, Kind: ci.StepEnvironment, Name: "Spin up environment", Status: ci.Running})
	w.print(l, 0, "Rondo agent, host executor\r\nimage cimg/go:1.26 (\x1b[33mwarning\x1b[0m: host mode does not use it)\n")
	w.step(l, ci.Step{Index: 0, Kind: ci.StepEnvironment, Name: "Spin up environment", Status: ci.Success})
	w.step(l, ci.Step{Index: 1, Kind: ci.StepCheckout, Name: "Checkout code", Status: ci.Running})
	w.print(l, 1, "Cloning into '.'...\nreceiving 1%\rreceiving 57%\rreceiving 100%, done.\n")
	w.step(l, ci.Step{Index: 1, Kind: ci.StepCheckout, Name: "Checkout code", Status: ci.Success})
	w.step(l, ci.Step{Index: 2, Kind: ci.StepRestoreCache, Name: "Restore cache go-mod-", Status: ci.Success})
	w.step(l, ci.Step{Index: 3, Kind: ci.StepRun, Name: "go test ./...", Command: "go test -race ./...", Status: ci.Running})
	w.print(l, 3, "\x1b[1m\x1b[34m=== RUN\x1b[0m   TestTotal\n")
	for i := range 40 {
		w.print(l, 3, fmt.Sprintf("\x1b[32mok\x1b[0m  \tshop/%-12s\t\x1b[90m%d.%03ds\x1b[0m\n", []string{"cart", "coupon", "stock"}[i%3], i/9, i*37%1000))
	}
	w.print(l, 3, "\x1b[1;31m--- FAIL: TestTotal/coupon\x1b[0m (0.02s)\n    cart_test.go:41: want \x1b[48;5;22m1799\x1b[0m, got \x1b[41m 1800 \x1b[0m \x1b[38;2;255;160;90m24-bit\x1b[0m \x1b[7minverse\x1b[0m \x1b[2J<b>&\n")
}

// TestDemo serves the demo for a person to look at, while RONDO_DEMO is an
// address to listen on: RONDO_DEMO=127.0.0.1:8099 go test -run TestDemo -timeout 0 ./ci/web
func TestDemo(t *testing.T) {
	addr := os.Getenv("RONDO_DEMO")
	if addr == "" {
		t.Skip("RONDO_DEMO is not set: nobody wants to look")
	}
	w := newWorld(t, demoPlan())
	furnish(w)
	id := demo(w)
	j := w.job(id, "test")
	for i := range 2 {
		l := w.claim(id, j.ID.Task(i))
		w.someSteps(l)
		go func() {
			for n := 0; ; n++ {
				time.Sleep(300 * time.Millisecond)
				w.print(l, 3, fmt.Sprintf("\x1b[36mtick\x1b[0m %d\n", n))
			}
		}()
	}
	ln, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	fmt.Printf("http://%s/workflows/%s\nhttp://%s/jobs/local/home/shop/%d\n", ln.Addr(), id, ln.Addr(), j.Number)
	fmt.Printf("http://%s/jobs/local/home/shop/%d\n", ln.Addr(), w.workflow(id).Past[0].Number)
	t.Log(http.Serve(ln, w.handler()))
}
