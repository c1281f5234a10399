package ci

import "strings"

// A Project is a repository that Rondo builds.
type Project struct {
	ID ProjectID `json:"id"`
	// Slug is the project's unique name in addresses: host, organisation and
	// repository, as in "gh/acme/shop" or "local/home/shop".
	Slug string `json:"slug"`
	// Org and Repo are the two last parts of the slug. Limits of the queue are
	// counted by Org.
	Org  string `json:"org"`
	Repo string `json:"repo"`
	// CloneURL is what git clones: a URL or an absolute path.
	CloneURL string `json:"clone_url"`
	// DefaultBranch is exempt from auto-cancel.
	DefaultBranch string `json:"default_branch,omitempty"`
	// RepoID is the code host's own name for the repository, which stays when
	// the repository is renamed; "" where there is none.
	RepoID string `json:"repo_id,omitempty"`
	// Followed says that somebody asked for it to be built. Pushes to one that
	// is not followed trigger nothing.
	Followed bool `json:"followed,omitempty"`
	Settings
}

// OrgSlug returns the slug of the project's organisation, as in "gh/acme".
func (p Project) OrgSlug() string {
	i := strings.LastIndexByte(p.Slug, '/')
	return p.Slug[:max(i, 0)]
}

// Settings are what people choose for a [Project]. The zero value is the
// default.
type Settings struct {
	// AutoCancel says that a new pipeline on a branch other than the default
	// one cancels the workflows of older pipelines there that have not ended.
	AutoCancel bool `json:"auto_cancel,omitempty"`
	// BuildForks builds pull requests from forks, and ForkSecrets gives their
	// jobs contexts, variables and keys like any other's.
	BuildForks  bool `json:"build_forks,omitempty"`
	ForkSecrets bool `json:"fork_secrets,omitempty"`
	// OnlyPullRequests builds a branch only when a pull request is open for
	// it. The default branch, tags and PullRequestExempt are built anyway.
	OnlyPullRequests  bool     `json:"only_pull_requests,omitempty"`
	PullRequestExempt []string `json:"pull_request_exempt,omitempty"` // branches
	// Open lets everybody read the project without a token.
	Open bool `json:"open,omitempty"`
	// NoStatus sends no commit statuses, NoSetup refuses setup workflows,
	// NoSSH refuses reruns with SSH.
	NoStatus bool `json:"no_status,omitempty"`
	NoSetup  bool `json:"no_setup,omitempty"`
	NoSSH    bool `json:"no_ssh,omitempty"`
	// AdminSettings lets only administrators change these settings.
	AdminSettings bool `json:"admin_settings,omitempty"`
}
