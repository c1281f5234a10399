package forgetest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Repo is a repository of a [GitHub]. What it tells of itself is a copy.
type Repo struct {
	g    *GitHub
	id   int64
	dir  string
	made time.Time

	// The rest is guarded by g.mu.
	owner, name, branch string
	private             bool
	fork                *Repo // what it is a fork of
	hooks               []*hook
	keys                []Key
	statuses            []Status // oldest first
	pulls               []*pull
	deliveries          []*Delivery // oldest first
	noKeys              bool
}

// A Key is a deploy key.
type Key struct {
	ID       int64
	Title    string
	Key      string
	ReadOnly bool
	made     time.Time
}

// A Status is a commit status.
type Status struct {
	SHA, Context, State, Description, TargetURL string
	id                                          int64
	made                                        time.Time
}

// ID returns the number that stays when the repository is renamed.
func (r *Repo) ID() int64 { return r.id }

// Dir returns the bare git folder.
func (r *Repo) Dir() string { return r.dir }

// FullName returns owner/name.
func (r *Repo) FullName() string {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	return r.owner + "/" + r.name
}

// SetPrivate hides the repository from those without rights.
func (r *Repo) SetPrivate() { r.set(func() { r.private = true }) }

// ForbidKeys makes the organisation allow no deploy keys.
func (r *Repo) ForbidKeys() { r.set(func() { r.noKeys = true }) }

func (r *Repo) set(f func()) {
	r.g.mu.Lock()
	defer r.g.mu.Unlock()
	f()
}

// Keys returns the deploy keys.
func (r *Repo) Keys() (out []Key) {
	r.set(func() { out = append(out, r.keys...) })
	return out
}

// Statuses returns the statuses of a commit, oldest first.
func (r *Repo) Statuses(sha string) (out []Status) {
	r.set(func() {
		for _, s := range r.statuses {
			if s.SHA == sha {
				out = append(out, s)
			}
		}
	})
	return out
}

// Commit adds a commit to a branch without telling anybody, and returns its
// hash. A file whose content begins with "symlink:" is a link to the rest.
func (r *Repo) Commit(branch, message string, files map[string]string) string {
	r.g.t.Helper()
	return commitFiles(r.g.t, r.dir, branch, message, files)
}

// Push adds a commit to a branch, tells the webhooks, and returns its hash.
func (r *Repo) Push(branch, message string, files map[string]string) string {
	r.g.t.Helper()
	before := r.at("refs/heads/" + branch)
	after := r.Commit(branch, message, files)
	r.Pushed("refs/heads/"+branch, before, after)
	return after
}

// PushTag makes a tag, annotated if there is a message, and tells the webhooks.
func (r *Repo) PushTag(name, revision, message string) {
	r.g.t.Helper()
	args := []string{"tag", name, revision}
	if message != "" {
		args = []string{"tag", "-a", "-m", message, name, revision}
	}
	r.git(args...)
	r.Pushed("refs/tags/"+name, "", r.at("refs/tags/"+name))
}

// Delete removes a branch or tag, by its full name, and tells the webhooks.
func (r *Repo) Delete(ref string) {
	r.g.t.Helper()
	before := r.at(ref)
	r.git("update-ref", "-d", ref)
	r.Pushed(ref, before, "")
	kind, name := "branch", strings.TrimPrefix(ref, "refs/heads/")
	if rest, tag := strings.CutPrefix(ref, "refs/tags/"); tag {
		kind, name = "tag", rest
	}
	r.tell("delete", "", object{"ref": name, "ref_type": kind, "pusher_type": "user"})
}

// at returns the object that a reference stands for, "" if there is none.
func (r *Repo) at(ref string) string {
	out, _ := r.look("", "rev-parse", "--verify", "--quiet", "--end-of-options", ref)
	return strings.TrimSpace(strings.TrimPrefix(out, "--end-of-options\n"))
}

// Pushed tells the webhooks that a reference went from one object to another;
// "" is none.
func (r *Repo) Pushed(ref, before, after string) {
	r.g.t.Helper()
	r.tell("push", "", r.pushPayload(ref, before, after))
}

// Rename gives the repository another full name; the old one leads to it, until
// another repository takes it.
func (r *Repo) Rename(name string) {
	old := r.FullName()
	owner, short, _ := strings.Cut(name, "/")
	r.set(func() {
		r.owner, r.name = owner, short
		r.g.names[strings.ToLower(name)] = r.id
	})
	_, was, _ := strings.Cut(old, "/")
	r.tell("repository", "renamed", object{"changes": object{"repository": object{"name": object{"from": was}}}})
}

// Fork makes a fork that belongs to an owner.
func (r *Repo) Fork(owner string) *Repo {
	r.g.t.Helper()
	dir := filepath.Join(r.g.t.TempDir(), r.name+".git")
	must(r.g.t, "clone", exec.Command("git", "clone", "--quiet", "--bare", r.dir, dir))
	f := r.g.Adopt(owner+"/"+r.name, dir)
	f.set(func() { f.fork = r })
	return f
}

// canSee and the like say what a user may do.
func (r *Repo) canSee(u user) bool { return !r.isPrivate() || u.rights != "" }

func (r *Repo) isPrivate() (p bool) {
	r.set(func() { p = r.private })
	return p
}

// url returns an address of the repository in the API.
func (r *Repo) url(path string, args ...any) string {
	return r.g.URL() + "/api/v3/repos/" + r.FullName() + fmt.Sprintf(path, args...)
}

// page returns an address of the repository for people.
func (r *Repo) page(path string, args ...any) string {
	return r.g.URL() + "/" + r.FullName() + fmt.Sprintf(path, args...)
}
