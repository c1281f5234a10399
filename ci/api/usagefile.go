package api

import (
	"compress/gzip"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// usageColumns are those of CircleCI's export that Rondo has something to say
// about, under the same names. It has no credits, and does not measure how busy
// a job kept its machine: a column of nothing would read as an idle one.
var usageColumns = []string{
	"ORGANIZATION_ID", "ORGANIZATION_NAME", "PROJECT_ID", "PROJECT_NAME", "VCS_NAME", "VCS_URL", "VCS_BRANCH",
	"PIPELINE_ID", "PIPELINE_NUMBER", "WORKFLOW_ID", "WORKFLOW_NAME", "WORKFLOW_STOPPED_AT", "IS_WORKFLOW_SUCCESSFUL",
	"JOB_ID", "JOB_NAME", "JOB_RUN_NUMBER", "JOB_RUN_DATE", "JOB_RUN_QUEUED_AT", "JOB_RUN_STARTED_AT", "JOB_RUN_STOPPED_AT",
	"JOB_BUILD_STATUS", "RESOURCE_CLASS", "PARALLELISM", "JOB_RUN_SECONDS",
}

// sendUsage writes the file while it reads the runs, so that it takes no more
// memory for a large organisation.
func (c *call) sendUsage(in Insights, projects []ci.Project, k kept[keptExport]) error {
	h := c.w.Header()
	h.Set("Content-Type", "application/gzip")
	h.Set("Content-Disposition", `attachment; filename="usage-`+k.ID+`.csv.gz"`)
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	s := newStream(c.w)
	defer s.close()
	z := gzip.NewWriter(s)
	w := csv.NewWriter(z)
	w.UseCRLF = true // RFC 4180
	if err := w.Write(usageColumns); err != nil {
		return nil // the client has gone
	}
	for _, p := range projects {
		for r, err := range in.Runs(c.r.Context(), ci.RunQuery{Project: p.ID, From: k.is.Start, To: k.is.End}) {
			if err != nil {
				return cutOff(c.w, err)
			}
			for _, j := range r.Jobs {
				if err := w.Write(usageLine(k, p, r, j)); err != nil {
					return nil
				}
			}
		}
	}
	w.Flush()
	if w.Error() == nil {
		_ = z.Close()
	}
	return nil
}

// usageLine is one run of a job.
func usageLine(k kept[keptExport], p ci.Project, r ci.Run, j ci.JobRun) []string {
	seconds := ""
	if !j.Started.IsZero() {
		seconds = strconv.FormatFloat(j.Stopped.Sub(j.Started).Seconds(), 'f', 3, 64)
	}
	class := j.Class
	if class == "" {
		class = "default"
	}
	line := []string{
		k.Scope, p.Org, string(p.ID), p.Repo, longHost(p), webURL(p), r.Branch,
		string(r.Pipeline), strconv.FormatInt(r.Number, 10), string(r.Workflow), r.Name, instant(r.Stopped), strconv.FormatBool(r.Status == ci.Success),
		string(j.ID), j.Name, strconv.FormatInt(j.Number, 10), dayOf(j), instant(j.Queued), instant(j.Started), instant(j.Stopped),
		string(j.Status), class, strconv.Itoa(max(j.Parallelism, 1)), seconds,
	}
	for i, v := range line {
		line[i] = harmless(v)
	}
	return line
}

// dayOf is the day on which a job began, or was to.
func dayOf(j ci.JobRun) string {
	for _, t := range []time.Time{j.Started, j.Queued, j.Stopped} {
		if !t.IsZero() {
			return t.UTC().Format(time.DateOnly)
		}
	}
	return ""
}

// instant is a time as in replies, "" when it is not set.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// harmless puts a quote before what a spreadsheet would take for a formula, and
// before a quote, so that it can be taken away again (A073).
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r'", rune(s[0])) {
		return "'" + s
	}
	return s
}
