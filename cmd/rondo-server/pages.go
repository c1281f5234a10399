package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/schedule"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/scheduler"
)

// pages are the pages over the rooms.
func (in *installation) pages() http.Handler {
	return web.New(in.engine.Server, in.db, web.Config{
		Logs: in.logs, Artifacts: in.engine.Files, Explain: in.engine.Scheduler.Explain,
		Authorize: in.whoPage, Retrigger: in.retrigger, Log: in.log, Version: version,
		Chapters: web.Chapters{
			Contexts: in.safe, Variables: in.safe, Keys: in.safe, Schedules: in.clock, Webhooks: in.courier,
			Tokens: in.tokens, Account: in.account(), Audit: in.book, PutProject: in.putProject, Follow: in.follow, Orgs: in.orgs,
			MayOrg: in.mayOrg, May: in.mayPages(), MaySettings: in.maySettings(), Users: in.webUsers(), Directory: in.webDirectory(), Installation: in.webSettings(),
			NextRuns: schedule.Preview, Badge: badgePath, Address: in.url,
		},
		Insights: in.memory,
		Queue:    web.Queue{Waiting: in.waiting, Operations: in.desk, Machines: in.webMachines()},
	})
}

// account is what people have of their own.
func (in *installation) account() web.Account {
	return web.Account{
		List: func(ctx context.Context, owner ci.Actor) ([]web.PersonalToken, error) {
			kept, err := in.tokens.PersonalTokens(ctx, owner)
			var all []web.PersonalToken
			for _, one := range kept {
				all = append(all, web.PersonalToken{ID: one.ID, Label: one.Label, Created: one.Created, Expires: one.Expires, Used: one.Used})
			}
			return all, err
		},
		Create: func(ctx context.Context, owner ci.Actor, label string, life time.Duration) (string, error) {
			_, token, err := in.tokens.CreatePersonalToken(ctx, owner, label, life)
			return token, err
		},
		Delete: in.tokens.DeletePersonalToken,
	}
}

// badgePath is the path of a project's badge.
func badgePath(p ci.Project, branch string) string {
	path := "/status-badge/img/" + p.Slug
	if branch != "" {
		path += "/tree/" + url.PathEscape(branch)
	}
	return path + ".svg"
}

// waiting lists what waits for a place: the run queue, and behind it the usage
// queue.
func (in *installation) waiting(_ context.Context, limit int) ([]ci.Ticket, int, error) {
	run, _, n := in.engine.Scheduler.Queue(scheduler.RunQueue, limit)
	usage, _, m := in.engine.Scheduler.Queue(scheduler.UsageQueue, limit)
	all := append(run, usage...)
	return all[:min(limit, len(all))], n + m, nil
}
