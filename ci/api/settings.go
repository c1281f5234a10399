package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// projectRoutes are the operations that make, unmake and set up projects.
func projectRoutes() []route {
	const (
		at     = "/project/{project_slug}"
		triple = "/project/{provider}/{organization}/{project}"
	)
	return []route{
		{
			method: "POST", path: at, shown: triple, summary: "Create a project of a repository, and follow it", tag: "Project",
			status: 201, response: settings{}, serve: (*call).enableProject,
		}, {
			method: "DELETE", path: at, tag: "Project",
			summary: "Follow a project no more and delete its schedules, webhooks, variables, keys and definitions; its pipelines stay readable",
			status:  200, response: message{}, serve: (*call).deleteProject,
		}, {
			method: "GET", path: at + "/settings", shown: triple + "/settings", summary: "The settings of a project", tag: "Project",
			status: 200, response: settings{}, serve: (*call).getSettings,
		}, {
			method: "PATCH", path: at + "/settings", shown: triple + "/settings", summary: "Change settings of a project", tag: "Project",
			status: 200, request: settingsChange{}, response: settings{}, serve: (*call).changeSettings,
		},
	}
}

// settings are [ci.Settings] on the wire.
type settings struct {
	Advanced advancedSettings `json:"advanced"`
}

type advancedSettings struct {
	AutoCancel        bool     `json:"autocancel_builds"`
	BuildForks        bool     `json:"build_fork_prs"`
	OnlyPullRequests  bool     `json:"build_prs_only"`
	NoSSH             bool     `json:"disable_ssh"`
	ForkSecrets       bool     `json:"forks_receive_secret_env_vars"`
	Open              bool     `json:"oss"`
	Status            bool     `json:"set_github_status"`
	Setup             bool     `json:"setup_workflows"`
	AdminSettings     bool     `json:"write_settings_requires_admin"`
	PullRequestExempt []string `json:"pr_only_branch_overrides"`
}

func settingsOf(s ci.Settings) settings {
	return settings{advancedSettings{
		AutoCancel: s.AutoCancel, BuildForks: s.BuildForks, OnlyPullRequests: s.OnlyPullRequests, NoSSH: s.NoSSH,
		ForkSecrets: s.ForkSecrets, Open: s.Open, Status: !s.NoStatus, Setup: !s.NoSetup, AdminSettings: s.AdminSettings,
		PullRequestExempt: append([]string{}, s.PullRequestExempt...),
	}}
}

// A settingsChange says some settings; what is absent or null stays as it is.
type settingsChange struct {
	Advanced advancedChange `json:"advanced"`
}

type advancedChange struct {
	AutoCancel        *bool    `json:"autocancel_builds,omitempty"`
	BuildForks        *bool    `json:"build_fork_prs,omitempty"`
	OnlyPullRequests  *bool    `json:"build_prs_only,omitempty"`
	NoSSH             *bool    `json:"disable_ssh,omitempty"`
	ForkSecrets       *bool    `json:"forks_receive_secret_env_vars,omitempty"`
	Open              *bool    `json:"oss,omitempty"`
	Status            *bool    `json:"set_github_status,omitempty"`
	Setup             *bool    `json:"setup_workflows,omitempty"`
	AdminSettings     *bool    `json:"write_settings_requires_admin,omitempty"`
	PullRequestExempt []string `json:"pr_only_branch_overrides,omitempty"`
}

func (r advancedChange) onto(s *ci.Settings) error {
	change(&s.AutoCancel, r.AutoCancel)
	change(&s.BuildForks, r.BuildForks)
	change(&s.OnlyPullRequests, r.OnlyPullRequests)
	change(&s.NoSSH, r.NoSSH)
	change(&s.ForkSecrets, r.ForkSecrets)
	change(&s.Open, r.Open)
	change(&s.AdminSettings, r.AdminSettings)
	if r.Status != nil {
		s.NoStatus = !*r.Status
	}
	if r.Setup != nil {
		s.NoSetup = !*r.Setup
	}
	if r.PullRequestExempt != nil {
		s.PullRequestExempt = r.PullRequestExempt
	}
	wrong := func(branch string) bool { return branch == "" || badRef(branch) }
	if len(s.PullRequestExempt) > 100 || slices.ContainsFunc(s.PullRequestExempt, wrong) {
		return refuse(http.StatusBadRequest, "pr_only_branch_overrides must be at most 100 names of branches.")
	}
	return nil
}

func (c *call) getSettings() (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	return settingsOf(p.Settings), nil
}

func (c *call) changeSettings() (any, error) {
	var req settingsChange
	p, err := c.toSet(&req)
	if err != nil {
		return nil, err
	}
	before := p.Settings
	if err := req.Advanced.onto(&p.Settings); err != nil {
		return nil, err
	}
	if err := c.putSettings(before, p); err != nil {
		return nil, err
	}
	return settingsOf(p.Settings), nil
}

// toSet reads the request and returns the project of the address as it is after
// that: who sends slowly would write back what others have changed meanwhile.
func (c *call) toSet(req any) (ci.Project, error) {
	p, err := c.project(true)
	if err == nil && c.cfg.Chapters.PutProject == nil {
		err = absent("settings to change")
	}
	if err == nil {
		err = c.body(req)
	}
	if err != nil {
		return p, err
	}
	return c.project(true)
}

// putSettings writes the settings of a project that the caller may change. What
// strangers' code may do is for administrators of the organisation to say, and
// so is all the rest where the project wants that.
func (c *call) putSettings(before ci.Settings, p ci.Project) error {
	if err := c.maySettings(p, before, p.Settings); err != nil {
		return err
	}
	return named(c.cfg.Chapters.PutProject(c.r.Context(), p), "Project")
}

// follow makes the code host tell of pushes to a repository, or stops that.
func (c *call) follow(slug string, follow bool) (ci.Project, error) {
	if c.cfg.Chapters.Follow == nil {
		return ci.Project{}, absent("code host on which projects can be followed")
	}
	p, err := c.cfg.Chapters.Follow(c.r.Context(), slug, follow, c.by)
	return p, named(err, "Project")
}

// enableProject needs the right to change the project, or to make one in the
// organisation when there is none yet.
func (c *call) enableProject() (any, error) {
	slug := c.r.PathValue("project_slug")
	p, err := c.project(true)
	var r *refusal
	switch {
	case err == nil:
		slug = p.Slug
	case strings.HasPrefix(slug, "circleci/"):
		return nil, refuse(http.StatusMethodNotAllowed, "Only a project of a code host can be followed.")
	case errors.As(err, &r) && r.Status == http.StatusNotFound && !isUUID(slug):
		if err := c.mayAdd(slug); err != nil {
			return nil, named(err, "Project")
		}
	default:
		return nil, err
	}
	if p, err = c.follow(slug, true); err != nil {
		return nil, err
	}
	return settingsOf(p.Settings), nil
}

// deleteProject keeps what was built: others may point to it.
func (c *call) deleteProject() (any, error) {
	p, err := c.project(true)
	if err == nil {
		err = c.mayOrg(p.OrgSlug(), true)
	}
	if err != nil {
		return nil, err
	}
	left, err := c.follow(p.Slug, false)
	if err != nil {
		return nil, err
	}
	// Each may have been done by a call before that did not come to its end.
	for _, clear := range []func(ci.Project) error{c.clearSchedules, c.clearWebhooks, c.clearVariables, c.clearKeys, c.clearDocs} {
		if err := clear(p); err != nil && !errors.Is(err, ci.ErrNotFound) {
			return nil, err
		}
	}
	if left.Followed { // a folder of this machine, say
		return message{"Project deleted. New commits still make pipelines: the settings of the server say so."}, nil
	}
	return message{"Project deleted."}, nil
}

func (c *call) clearSchedules(p ci.Project) error {
	chapter := c.cfg.Chapters.Schedules
	if chapter == nil {
		return nil
	}
	all, err := chapter.Schedules(c.r.Context(), p.ID)
	for _, s := range all {
		err = errors.Join(err, chapter.DeleteSchedule(c.r.Context(), s.ID, c.by))
	}
	return err
}

func (c *call) clearWebhooks(p ci.Project) error {
	chapter := c.cfg.Chapters.Webhooks
	if chapter == nil {
		return nil
	}
	all, err := chapter.Webhooks(c.r.Context(), p.ID)
	for _, w := range all {
		err = errors.Join(err, chapter.DeleteWebhook(c.r.Context(), w.ID, c.by))
	}
	return err
}

func (c *call) clearVariables(p ci.Project) error {
	chapter, of := c.cfg.Chapters.Variables, ci.Holder{Project: p.ID}
	if chapter == nil {
		return nil
	}
	all, err := chapter.Variables(c.r.Context(), of)
	for _, v := range all {
		err = errors.Join(err, chapter.DeleteVariable(c.r.Context(), of, v.Name, c.by))
	}
	return err
}

func (c *call) clearKeys(p ci.Project) error {
	chapter := c.cfg.Chapters.Keys
	if chapter == nil {
		return nil
	}
	all, err := chapter.Keys(c.r.Context(), p.ID)
	for _, k := range all {
		err = errors.Join(err, chapter.DeleteKey(c.r.Context(), p.ID, k.SHA256, c.by))
	}
	return err
}

func (c *call) clearDocs(p ci.Project) error {
	if c.cfg.Chapters.Docs == nil {
		return nil
	}
	var gone []ci.DocChange
	for _, kind := range []string{docDefinition, docTrigger, docClaims} {
		all, err := readDocs[any](c, kind, string(p.ID))
		if err != nil {
			return err
		}
		for _, d := range all {
			gone = append(gone, ci.DocChange{Doc: ci.Doc{Kind: kind, ID: d.ID, Version: ci.AnyVersion}, Delete: true})
		}
	}
	if len(gone) == 0 {
		return nil
	}
	_, err := c.cfg.Chapters.Docs.WriteDocs(c.r.Context(), gone...)
	return err
}
