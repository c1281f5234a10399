package ci

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
	// AutoCancel says that a new pipeline on a branch other than the default
	// one cancels the workflows of older pipelines there that have not ended.
	AutoCancel bool `json:"auto_cancel,omitempty"`
}
