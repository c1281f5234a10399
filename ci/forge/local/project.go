package local

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

// Project returns the repository as a project. Its slug is that of the origin
// when that is on a known code host (gh/org/repo), else local/parent/name of the
// folder. The identity follows from the slug, so the same folder is the same
// project each time; a store that knows the slug already decides.
func (r *Repo) Project() ci.Project { return r.project }

func (r *Repo) describe(ctx context.Context) (ci.Project, error) {
	set, err := r.settings(ctx)
	if err != nil {
		return ci.Project{}, err
	}
	host, org, name, known := parseRemote(set.origin)
	if !known {
		host = "local"
		folder := r.dir
		if r.bare && filepath.Base(folder) == ".git" {
			folder = filepath.Dir(folder)
		}
		org = segment(filepath.Base(filepath.Dir(folder)), "root")
		name = segment(strings.TrimSuffix(filepath.Base(folder), ".git"), "repo")
	}
	branch, err := r.defaultBranch(ctx, set.branch)
	if err != nil {
		return ci.Project{}, err
	}
	slug := host + "/" + org + "/" + name
	return ci.Project{
		ID: identity(slug), Slug: slug, Org: org, Repo: name, CloneURL: r.dir, DefaultBranch: branch,
	}, nil
}

// settings are what the configuration says of a project.
type settings struct {
	origin string // address of the remote, "" if there is none
	branch string // init.defaultBranch
}

// settings reads the configuration in one run of git, and applies insteadOf to
// the address as git would: the longest prefix wins.
func (r *Repo) settings(ctx context.Context) (settings, error) {
	var s settings
	out, err := git(ctx, r.dir, nil, nil, "config", "-z", "--get-regexp", `^(remote\.origin\.url|init\.defaultbranch|url\..*\.insteadof)$`)
	if err != nil && !exited(err, 1) {
		return s, err
	}
	instead := map[string]string{}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		switch {
		case key == "remote.origin.url":
			s.origin = cmp.Or(s.origin, value)
		case key == "init.defaultbranch":
			s.branch = value
		case strings.HasPrefix(key, "url."):
			instead[value] = strings.TrimSuffix(strings.TrimPrefix(key, "url."), ".insteadof")
		}
	}
	best := ""
	for prefix := range instead {
		if strings.HasPrefix(s.origin, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	if best != "" {
		s.origin = instead[best] + strings.TrimPrefix(s.origin, best)
	}
	return s, nil
}

// hosts are the code hosts whose projects have slugs of their own.
var hosts = map[string]string{
	"github.com": "gh", "www.github.com": "gh", "ssh.github.com": "gh",
	"bitbucket.org": "bb", "www.bitbucket.org": "bb", "altssh.bitbucket.org": "bb",
}

// parseRemote takes host, organisation and repository out of the address of a
// remote on a known host: a URL, or the user@host:path form of SSH.
func parseRemote(remote string) (host, org, repo string, ok bool) {
	var path string
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		host, path = u.Hostname(), u.Path
	} else if before, after, found := strings.Cut(remote, ":"); found && !strings.Contains(before, "/") {
		host, path = before[strings.LastIndex(before, "@")+1:], after
	}
	host = hosts[strings.ToLower(host)]
	org, repo, found := strings.Cut(strings.Trim(path, "/"), "/")
	repo = strings.TrimSuffix(repo, ".git")
	ok = host != "" && found && segment(org, "") == org && segment(repo, "") == repo && org != "" && repo != ""
	return host, org, repo, ok
}

// segment makes a name fit for a slug; an empty one becomes the other.
func segment(name, other string) string {
	name = strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || c == unicode.ReplacementChar || !unicode.IsPrint(c) {
			return '_'
		}
		return c
	}, strings.ToValidUTF8(name, "_"))
	if strings.Trim(name, "._ ") == "" {
		return other
	}
	return name
}

// identity returns a UUID that follows from the slug (version 8: made by a rule
// of one's own).
func identity(slug string) ci.ProjectID {
	b := sha256.Sum256([]byte("rondo project " + slug))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return ci.ProjectID(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}

// defaultBranch returns the branch that the others leave from, as far as the
// repository tells; "" when it has none.
func (r *Repo) defaultBranch(ctx context.Context, configured string) (string, error) {
	candidates := []string{"main", "master"}
	if configured != "" && !strings.HasPrefix(configured, "-") {
		candidates = append([]string{configured}, candidates...)
	}
	args := []string{"for-each-ref", "--format=%(refname)%00%(symref)", "refs/remotes/origin/HEAD"}
	for _, name := range candidates {
		args = append(args, "refs/heads/"+name)
	}
	out, err := git(ctx, r.dir, nil, nil, args...)
	if err != nil {
		return "", err
	}
	there := map[string]string{}
	for row := range strings.Lines(string(out)) {
		ref, target, _ := strings.Cut(strings.TrimSuffix(row, "\n"), "\x00")
		there[ref] = target
	}
	if target, ok := strings.CutPrefix(there["refs/remotes/origin/HEAD"], "refs/remotes/origin/"); ok {
		return target, nil
	}
	for _, name := range candidates {
		if _, ok := there["refs/heads/"+name]; ok {
			return name, nil
		}
	}
	out, err = git(ctx, r.dir, nil, nil, "symbolic-ref", "--quiet", "HEAD")
	if err != nil && !exited(err, 1) {
		return "", err
	}
	return strings.TrimPrefix(line(out), "refs/heads/"), nil
}
