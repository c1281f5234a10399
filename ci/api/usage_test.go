package api_test

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// fetch gets an address without any token.
func (n *town) fetch(address string) result {
	n.world.t.Helper()
	return n.call("GET", strings.TrimPrefix(address, n.world.url), "", func(r *http.Request) { r.Header.Del("Circle-Token") })
}

func TestARC07_UsageExport(t *testing.T) {
	n := newTown(t)
	m := n.cfg.Chapters.Insights.(*memory)
	p := n.world.now.ID
	for i := range 40 { // one of each day
		m.ran(p, "build", "main", fmt.Sprint(i), ci.Success, time.Duration(i)*24*time.Hour+time.Minute, 90)
	}
	m.ran(p, `=cmd("x")`, "@branch", "x", ci.Failed, time.Hour, 10)
	m.learn(t)
	today := time.Now().UTC()
	const at = "/organizations/gh/acme/usage_export_job"
	ask := func(status int, from, to time.Time) map[string]any {
		return n.say(status, "POST", at, fmt.Sprintf(`{"start":%q,"end":%q}`, from.Format(time.RFC3339), to.Format(time.RFC3339)))
	}
	job := ask(201, today.Add(-10*24*time.Hour), today)
	require.Equal(t, "created", job["state"])
	id := job["usage_export_job_id"].(string)
	done := n.say(200, "GET", at+"/"+id, "")
	require.Equal(t, []any{"completed", id}, []any{done["state"], done["usage_export_job_id"]})
	address := done["download_urls"].([]any)[0].(string)

	r := n.fetch(address)
	require.Equal(t, 200, r.StatusCode, string(r.body))
	require.Contains(t, r.Header.Get("Content-Disposition"), "attachment")
	require.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
	z, err := gzip.NewReader(strings.NewReader(string(r.body)))
	require.NoError(t, err)
	lines, err := csv.NewReader(z).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 1+10+1, "ten days and the odd one")
	column := map[string]int{}
	for i, name := range lines[0] {
		column[name] = i
	}
	seen := map[string]bool{}
	for _, l := range lines[1:] {
		require.False(t, seen[l[column["JOB_ID"]]])
		seen[l[column["JOB_ID"]]] = true
		require.Equal(t, []string{"acme", "shop", "test", "medium", "1"},
			[]string{l[column["ORGANIZATION_NAME"]], l[column["PROJECT_NAME"]], l[column["JOB_NAME"]], l[column["RESOURCE_CLASS"]], l[column["PARALLELISM"]]})
		if l[column["WORKFLOW_NAME"]] != "build" { // A073
			require.Equal(t, []string{`'=cmd("x")`, "'@branch", "failed", "10.000", "false"}, []string{
				l[column["WORKFLOW_NAME"]], l[column["VCS_BRANCH"]], l[column["JOB_BUILD_STATUS"]], l[column["JOB_RUN_SECONDS"]], l[column["IS_WORKFLOW_SUCCESSFUL"]],
			})
			continue
		}
		require.Equal(t, []string{"success", "90.000"}, []string{l[column["JOB_BUILD_STATUS"]], l[column["JOB_RUN_SECONDS"]]})
	}

	// Days count as a whole, and a window has a limit.
	n.say(201, "POST", at, `{"start":"2026-01-01","end":"2026-02-01"}`)
	n.say(400, "POST", at, `{"start":"2026-01-01","end":"2026-02-02"}`)
	n.say(400, "POST", at, `{"start":"2026-01-02","end":"2026-01-01"}`)
	n.say(400, "POST", at, `{"start":"2026-01-02"}`)
	n.say(400, "POST", at, `{"start":"0000-01-01","end":"0000-01-02"}`)
	n.say(400, "POST", at, `{"start":"2026-01-01","end":"2026-01-02","shared_org_ids":["x"]}`)
	ask(400, today.Add(-33*24*time.Hour), today)

	// The address is good for nothing else, and for nobody who may not see.
	for _, bad := range []string{
		strings.Replace(address, id, ci.NewID(), 1), address + "0", strings.Replace(address, "expires=1", "expires=2", 1), strings.Split(address, "?")[0],
	} {
		require.Equal(t, 403, n.fetch(bad).StatusCode, bad)
	}
	n.say(404, "GET", at+"/"+ci.NewID(), "")
	n.say(404, "GET", "/organizations/gh/other/usage_export_job/"+id, "")
	n.refuse = ci.ErrDenied
	n.say(403, "POST", at, `{"start":"2026-01-01","end":"2026-01-02"}`)
	n.say(403, "GET", at+"/"+id, "")
}

// An organisation's exports do not pile up.
func TestUsageExport_Bounded(t *testing.T) {
	n := newTown(t)
	var first string
	for i := range 120 {
		job := n.say(201, "POST", "/organizations/gh/acme/usage_export_job", `{"start":"2026-01-01","end":"2026-01-02"}`)
		if i == 0 {
			first = job["usage_export_job_id"].(string)
		}
	}
	kept := 0
	for _, err := range n.world.db.Docs(t.Context(), ci.DocQuery{Kind: "usage-export", AllScopes: true}) {
		require.NoError(t, err)
		kept++
	}
	require.Equal(t, 100, kept)
	n.say(404, "GET", "/organizations/gh/acme/usage_export_job/"+first, "")
}
