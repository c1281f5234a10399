package api

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The limits of exports of usage.
const (
	exportWindow = 32 * day // the longest
	exportLife   = 7 * day  // how long one is remembered
	exportsKept  = 100      // of an organisation; the oldest go first
)

// usageRoutes are the operations that say what the jobs of an organisation
// used. There is nothing to wait for: the file is made while it is fetched.
func usageRoutes() []route {
	const at = "/organizations/{org_slug_or_id}/usage_export_job"
	return []route{
		{
			method: "POST", path: at, summary: "Export what the jobs of an organisation used, of workflows that ended within at most 32 days, and no longer ago than insights go back", tag: "Usage",
			status: 201, request: usageRequest{}, response: usageExport{}, serve: (*call).createUsageExport,
		}, {
			method: "GET", path: at + "/{usage_export_job_id}", summary: "An export, with the addresses of its files", tag: "Usage",
			status: 200, response: usageExport{}, serve: (*call).getUsageExport,
		}, {
			method: "GET", path: "/rondo/usage/{org_id}/{usage_export_job_id}", tag: "Rondo",
			summary: "The file of an export: CSV in gzip, a line for each run of a job. A value that begins with = + - @ or a quote has a quote before it. The address is signed",
			query:   []string{"expires", "signature"},
			status:  200, open: true, serve: (*call).usageFile,
		},
	}
}

// A usageRequest asks for an export: days, or instants.
type usageRequest struct {
	Start  string   `json:"start"`
	End    string   `json:"end"` // a day counts as a whole
	Shared []string `json:"shared_org_ids,omitempty"`
}

// A usageExport is one on the wire.
type usageExport struct {
	ID    string   `json:"usage_export_job_id"`
	State string   `json:"state"`
	Start stamp    `json:"start"`
	End   stamp    `json:"end"`
	URLs  []string `json:"download_urls"`
}

// A keptExport is the document "usage-export" in the scope of the
// organisation's identity. What it shows is what its maker may see.
type keptExport struct {
	Org   string    `json:"org"` // slug
	Start time.Time `json:"start"`
	End   time.Time `json:"end"` // the first instant after
	By    ci.Actor  `json:"by"`
}

func exportOf(k kept[keptExport], state string) usageExport {
	return usageExport{ID: k.ID, State: state, Start: stampOf(k.is.Start), End: stampOf(k.is.End), URLs: []string{}}
}

func (c *call) createUsageExport() (any, error) {
	org, err := c.org(true)
	if err == nil {
		_, err = c.insights()
	}
	if err != nil {
		return nil, err
	}
	var req usageRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	from, to, err := req.window()
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	k := kept[keptExport]{is: keptExport{Org: org, Start: from, End: to, By: c.by}}
	k.Doc = ci.Doc{Kind: docExport, ID: ci.NewID(), Scope: orgID(org)}
	k.Name = now.Format("2006-01-02T15:04:05.000Z") + "/" + k.ID
	if err := c.forgetExports(k.Scope, now); err != nil {
		return nil, err
	}
	return exportOf(k, "created"), k.write(c)
}

// window returns what the request is about.
func (r usageRequest) window() (from, to time.Time, err error) {
	from, bad1 := parseDate(r.Start)
	to, bad2 := parseDate(r.End)
	if bad1 != nil || bad2 != nil {
		return from, to, refuse(http.StatusBadRequest, "start and end must be dates or times, as in 2026-11-25 or 2026-11-25T10:00:00Z.")
	}
	if len(r.End) == len(time.DateOnly) {
		to = to.Add(day)
	}
	switch {
	case !from.Before(to):
		return from, to, refuse(http.StatusBadRequest, "end must be after start.")
	case to.Sub(from) > exportWindow:
		return from, to, refuse(http.StatusBadRequest, "start and end are more than 32 days apart.")
	case from.Year() < 2000 || to.Year() > 9999:
		return from, to, refuse(http.StatusBadRequest, "start and end must be of this millennium.")
	case len(r.Shared) > 0:
		return from, to, refuse(http.StatusBadRequest, "shared_org_ids: organizations share nothing on this server; export each by itself.")
	}
	return from, to, nil
}

// forgetExports makes room: what is old goes, and the oldest of many.
func (c *call) forgetExports(scope string, now time.Time) error {
	all, err := readDocs[keptExport](c, docExport, scope)
	if err != nil {
		return err
	}
	for i, k := range all {
		if now.Sub(k.Created) <= exportLife && len(all)-i < exportsKept {
			break
		}
		if err := k.remove(c); err != nil && !errors.Is(err, ci.ErrConflict) { // somebody else was faster
			return err
		}
	}
	return nil
}

func (c *call) getUsageExport() (any, error) {
	org, err := c.org(true)
	if err != nil {
		return nil, err
	}
	k, err := readDoc[keptExport](c, docExport, orgID(org), strings.ToLower(c.r.PathValue("usage_export_job_id")))
	if err != nil {
		return nil, named(err, "Usage export job")
	}
	out := exportOf(k, "completed")
	expires := strconv.FormatInt(time.Now().Add(outputLife).Unix(), 10)
	q := url.Values{"expires": {expires}, "signature": {c.exportSignature(k.Scope, k.ID, expires)}}
	out.URLs = append(out.URLs, fmt.Sprintf("%s%s/rondo/usage/%s/%s?%s", c.cfg.URL, root, k.Scope, k.ID, q.Encode()))
	return out, nil
}

func (c *call) exportSignature(org, id, expires string) string {
	m := hmac.New(sha256.New, c.outputKey)
	fmt.Fprintf(m, "rondo usage v1\n%s\n%s\n%s", org, id, expires)
	return hex.EncodeToString(m.Sum(nil))
}

// usageFile sends the file of an export to whoever has its address.
func (c *call) usageFile() (any, error) {
	q := c.r.URL.Query()
	org, id := c.r.PathValue("org_id"), c.r.PathValue("usage_export_job_id")
	expires, bad := strconv.ParseInt(q.Get("expires"), 10, 64)
	switch {
	case bad != nil || !hmac.Equal([]byte(c.exportSignature(org, id, q.Get("expires"))), []byte(q.Get("signature"))):
		return nil, refuse(http.StatusForbidden, "The signature of this address is wrong. Get the export again for a new one.")
	case time.Now().Unix() >= expires:
		return nil, refuse(http.StatusForbidden, "This address has expired. Get the export again for a new one.")
	}
	in, err := c.insights()
	if err != nil {
		return nil, err
	}
	k, err := readDoc[keptExport](c, docExport, org, id)
	if err != nil {
		return nil, named(err, "Usage export job")
	}
	c.by = k.is.By
	projects, err := c.visible(func(p ci.Project) bool { return p.OrgSlug() == k.is.Org })
	if err != nil {
		return nil, err
	}
	slices.SortFunc(projects, func(a, b ci.Project) int { return cmp.Compare(a.Slug, b.Slug) })
	return written, c.sendUsage(in, projects, k)
}
