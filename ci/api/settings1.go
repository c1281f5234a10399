package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// settings1 are those of a project on the wire of v1.1.
type settings1 struct {
	VCSURL  string          `json:"vcs_url"`
	Org     string          `json:"username"`
	Repo    string          `json:"reponame"`
	Default string          `json:"default_branch"`
	Open    bool            `json:"oss"`
	Flags   map[string]bool `json:"feature_flags"`
	Keys    []settingsKey1  `json:"ssh_keys"`
}

type settingsKey1 struct {
	Host        string `json:"hostname"`
	Public      string `json:"public_key"`
	Fingerprint string `json:"fingerprint"`
}

type settingsRequest1 struct {
	// Flags that are absent or null stay as they are.
	Flags map[string]*bool `json:"feature_flags"`
}

// A flag is a setting as v1.1 has it: a pointer to the field, and whether it
// says the opposite.
type flag struct {
	field *bool
	not   bool
}

// flags are the settings that v1.1 knows of.
func flags(s *ci.Settings) map[string]flag {
	return map[string]flag{
		"autocancel-builds": {&s.AutoCancel, false}, "build-fork-prs": {&s.BuildForks, false},
		"forks-receive-secret-env-vars": {&s.ForkSecrets, false}, "build-prs-only": {&s.OnlyPullRequests, false},
		"oss": {&s.Open, false}, "set-github-status": {&s.NoStatus, true}, "setup-workflows": {&s.NoSetup, true},
		"disable-ssh": {&s.NoSSH, false}, "write-settings-requires-admin": {&s.AdminSettings, false},
	}
}

// fixed1 are flags that clients look at and that cannot be changed here.
var fixed1 = map[string]bool{"api-trigger-with-config": false}

func (c *call) settings1() (any, error) {
	p, err := c.project(false)
	if err != nil {
		return nil, err
	}
	return c.settingsOf(c.r.Context(), p)
}

func (c *call) settingsOf(ctx context.Context, p ci.Project) (any, error) {
	out := settings1{
		VCSURL: webURL(p), Org: p.Org, Repo: p.Repo, Default: p.DefaultBranch, Open: p.Open,
		Flags: map[string]bool{}, Keys: []settingsKey1{},
	}
	for name, v := range fixed1 {
		out.Flags[name] = v
	}
	for name, f := range flags(&p.Settings) {
		out.Flags[name] = *f.field != f.not
	}
	if c.cfg.Chapters.Keys == nil {
		return out, nil
	}
	keys, err := c.cfg.Chapters.Keys.Keys(ctx, p.ID)
	for _, k := range keys {
		if k.Kind == ci.KeyAdditional {
			out.Keys = append(out.Keys, settingsKey1{k.Host, k.Public, k.MD5})
		}
	}
	return out, err
}

func (c *call) changeSettings1() (any, error) {
	var req settingsRequest1
	p, err := c.toSet(&req)
	if err != nil {
		return nil, err
	}
	before := p.Settings
	known := flags(&p.Settings)
	for name, v := range req.Flags {
		f, ok := known[name]
		fixed, isFixed := fixed1[name]
		switch {
		case v == nil, isFixed && *v == fixed:
		case !ok:
			return nil, refuse(http.StatusBadRequest, fmt.Sprintf("There is no flag %.100q that can be changed.", name))
		default:
			*f.field = *v != f.not
		}
	}
	if err := c.putSettings(before, p); err != nil {
		return nil, err
	}
	return c.settingsOf(c.r.Context(), p)
}

// A token1 is a project token on the wire; Token is there once.
type token1 struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Scope string `json:"scope"`
	Time  stamp  `json:"time"`
	Token string `json:"token,omitempty"`
	// Until when it is good, and when it was last used; absent is never.
	Expires *stamp `json:"expires_at,omitempty"`
	Used    *stamp `json:"last_used_at,omitempty"`
}

type tokenRequest1 struct {
	Scope string `json:"scope"`
	Label string `json:"label"`
	Days  int    `json:"expires_in_days,omitempty"` // 0 is until it is deleted
}

func token1Of(t ci.ProjectToken, token string) token1 {
	out := token1{ID: t.ID, Label: t.Label, Scope: string(t.Scope), Time: stampOf(t.Created), Token: token}
	if at := stampOf(t.Expires); !t.Expires.IsZero() {
		out.Expires = &at
	}
	if at := stampOf(t.Used); !t.Used.IsZero() {
		out.Used = &at
	}
	return out
}

// withTokens returns the project and the chapter of its tokens. Even to list
// them takes the right to change the project.
func (c *call) withTokens() (ci.ProjectID, Tokens, error) {
	p, err := c.project(true)
	if err == nil && c.cfg.Chapters.Tokens == nil {
		err = absent("project tokens")
	}
	return p.ID, c.cfg.Chapters.Tokens, err
}

func (c *call) tokens1() (any, error) {
	p, t, err := c.withTokens()
	if err != nil {
		return nil, err
	}
	all, err := t.ProjectTokens(c.r.Context(), p)
	out := make([]token1, 0, len(all))
	for _, one := range all {
		out = append(out, token1Of(one, ""))
	}
	return out, err
}

func (c *call) createToken1() (any, error) {
	p, t, err := c.withTokens()
	if err != nil {
		return nil, err
	}
	var req tokenRequest1
	if err := c.body(&req); err != nil {
		return nil, err
	}
	scope := ci.TokenScope(req.Scope)
	switch {
	case !ci.ScopeAll.Covers(scope):
		return nil, refuse(http.StatusBadRequest, fmt.Sprintf("scope must be status, view-builds or all, not %.50q.", req.Scope))
	case len(req.Label) > 200:
		return nil, refuse(http.StatusBadRequest, "The label is longer than 200 bytes.")
	case req.Days < 0 || req.Days > 3650:
		return nil, refuse(http.StatusBadRequest, "expires_in_days must be 1 to 3650, or absent.")
	}
	one, token, err := t.CreateProjectToken(c.r.Context(), p, scope, req.Label, time.Duration(req.Days)*24*time.Hour, c.by)
	return token1Of(one, token), err
}

func (c *call) deleteToken1() (any, error) {
	p, t, err := c.withTokens()
	if err != nil {
		return nil, err
	}
	return message{"ok"}, named(t.DeleteProjectToken(c.r.Context(), p, c.r.PathValue("token_id"), c.by), "Token")
}
