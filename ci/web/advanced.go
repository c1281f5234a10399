package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A settingSwitch is a setting that is on or off.
type settingSwitch struct {
	Name, Title, Text string
	On                bool
	at                *bool
}

// switches returns the settings of a project as a form shows them. Some are
// stored as what they forbid; people are asked what they allow.
func switches(p *ci.Settings) []settingSwitch {
	return []settingSwitch{
		{Name: "auto_cancel", at: &p.AutoCancel, Title: "Cancel what a newer push has overtaken",
			Text: "A new pipeline on a branch cancels the workflows of older ones there that still run. The default branch is left alone."},
		{Name: "only_pull_requests", at: &p.OnlyPullRequests, Title: "Build only pull requests",
			Text: "A branch is built when a pull request is open for it. The default branch, tags and the exempt branches are built anyway."},
		{Name: "build_forks", at: &p.BuildForks, Title: "Build pull requests from forks",
			Text: "Whoever can open a pull request can then run code on your machines, without secrets."},
		{Name: "fork_secrets", at: &p.ForkSecrets, Title: "Give secrets to pull requests from forks",
			Text: "Their jobs get contexts, variables and keys like any other's. A stranger's pull request can then read them all: leave this off unless the repository is private."},
		{Name: "open", at: &p.Open, Title: "Open to everybody",
			Text: "Pipelines, output and artifacts can be read without signing in."},
		{Name: "no_status", at: &p.NoStatus, Title: "Send no commit statuses",
			Text: "The code host is not told how workflows end, so it cannot require them before a merge."},
		{Name: "no_setup", at: &p.NoSetup, Title: "Refuse setup workflows",
			Text: "A configuration that says setup: true is an error. Otherwise it may make the configuration of the pipeline while it runs."},
		{Name: "no_ssh", at: &p.NoSSH, Title: "Refuse reruns with SSH",
			Text: "Nobody can sign in to a job of this project. Someone who can reads every secret of the job."},
		{Name: "admin_settings", at: &p.AdminSettings, Title: "Only administrators change settings",
			Text: "Others see these pages no more."},
	}
}

func (s *site) fillAdvanced(_ context.Context, b *settingsBody, _ url.Values) error {
	b.CanStop = s.cfg.Chapters.Follow != nil
	if b.Seen == "" {
		b.Seen = markOf(b.Project.Settings)
	}
	b.Switches = switches(&b.Project.Settings)
	for i := range b.Switches {
		b.Switches[i].On = *b.Switches[i].at
	}
	return nil
}

// markOf is the same for the same settings. A form has that of the settings it
// was made of, so that nobody undoes what they have not seen.
func markOf(s ci.Settings) string {
	text, _ := json.Marshal(s) // plain values always can
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// maxExempt bounds the branches that are built without a pull request.
const maxExempt = 100

func (s *site) changeAdvanced(ctx context.Context, b *settingsBody, form url.Values) (string, string, error) {
	switch verb := form.Get("do"); {
	case verb == "follow" && s.cfg.Chapters.Follow != nil:
		_, err := s.cfg.Chapters.Follow(ctx, b.Project.Slug, true, actorIn(ctx))
		return "followed", "", err
	case verb == "unfollow" && s.cfg.Chapters.Follow != nil:
		_, err := s.cfg.Chapters.Follow(ctx, b.Project.Slug, false, actorIn(ctx))
		return "unfollowed", "", err
	case verb != "save":
		return "", "", ci.ErrNotFound
	}
	if seen := form.Get("seen"); seen != "" && seen != markOf(b.Project.Settings) {
		return "", "", fmt.Errorf("save settings: somebody else has saved others since this page was loaded; these are theirs, choose again: %w", ci.ErrConflict)
	}
	p, old := b.Project, b.Project
	for _, one := range switches(&p.Settings) {
		*one.at = form.Get(one.Name) != ""
	}
	p.PullRequestExempt = nil
	for branch := range strings.FieldsSeq(form.Get("pull_request_exempt")) {
		p.PullRequestExempt = append(p.PullRequestExempt, branch)
	}
	b.Seen = markOf(old.Settings)
	b.Project = p // the form shows what was chosen, whatever comes
	if len(p.PullRequestExempt) > maxExempt {
		return "", "", fmt.Errorf("save settings: %d exempt branches are more than %d: %w", len(p.PullRequestExempt), maxExempt, ci.ErrInvalid)
	}
	before := old.Settings
	guarded := before.AdminSettings || p.AdminSettings || before.BuildForks != p.BuildForks || before.ForkSecrets != p.ForkSecrets
	if ask := s.cfg.Chapters.MaySettings; ask != nil && guarded {
		if err := ask(ctx, actorIn(ctx), p); err != nil {
			return "", "", err
		}
	}
	return "settings", "", s.cfg.Chapters.PutProject(ctx, p)
}

// badgesView is the badge of a project, and what to write to show it.
type badgesView struct {
	Branch, Image            string
	Markdown, HTML, AsciiDoc string
}

func (s *site) fillBadges(_ context.Context, b *settingsBody, address url.Values) error {
	branch := strings.TrimSpace(address.Get("branch"))
	base := strings.TrimRight(s.cfg.Chapters.Address, "/")
	v := badgesView{Branch: branch, Image: s.cfg.Chapters.Badge(b.Project, branch)}
	image, page := base+v.Image, base+ProjectPath(b.Project)
	v.Markdown = "[![build](" + image + ")](" + page + ")"
	v.HTML = `<a href="` + page + `"><img src="` + image + `" alt="build"></a>`
	v.AsciiDoc = "image:" + image + "[build,link=" + page + "]"
	b.Badges = v
	return nil
}
