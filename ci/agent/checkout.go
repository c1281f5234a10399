package agent

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// A checkout brings the source of the pipeline into a directory, by git.
type checkout struct {
	s      *session
	st     *step
	source string // what git clones
	local  string // its path, if it is on this machine
	dir    string // as the steps see it
	spec   ci.StepSpec
	ref    ref
	config string // file of git's settings
}

// A ref is what to check out.
type ref struct {
	branch, tag string
	revision    string
	pull        int // number of a pull request, or 0
}

// hash is what a revision looks like. Nothing else ever becomes an argument.
var hash = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// checkout performs a checkout step.
func (s *session) checkout(ctx context.Context, st *step, spec ci.StepSpec) result {
	t := s.work.Pipeline.Trigger
	c := &checkout{s: s, st: st, spec: spec, dir: s.absolute(spec.Path, s.dir)}
	c.ref = ref{branch: t.Branch, tag: t.Tag, revision: strings.ToLower(t.Revision)}
	c.ref.pull, _ = pullNumber(t)
	var err error
	if s.layout.Apart && (isHere(s.work.Project.CloneURL) || s.lookPath("git") == "") {
		err = c.outside(ctx)
	} else if err = c.prepare(); err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		return failed("%v", err)
	}
	fmt.Fprintf(st.out, "Checked out %s in %s\n", c.ref.show(), s.show(c.dir))
	return result{status: ci.Success}
}

// show names what was checked out.
func (r ref) show() string {
	switch {
	case r.branch != "":
		return fmt.Sprintf("revision %s of branch %s", r.revision, r.branch)
	case r.tag != "":
		return fmt.Sprintf("revision %s of tag %s", r.revision, r.tag)
	}
	return "revision " + r.revision
}

// prepare looks at what it was asked for.
func (c *checkout) prepare() error {
	switch {
	case c.s.work.Project.CloneURL == "":
		return fmt.Errorf("the project has no address to clone from")
	case !hash.MatchString(c.ref.revision):
		return fmt.Errorf("revision %q is no commit hash", c.ref.revision)
	}
	for _, name := range []string{c.ref.branch, c.ref.tag} {
		if !goodRef(name) {
			return fmt.Errorf("%q is no name of a branch or tag", name)
		}
	}
	switch c.spec.Method {
	case "", "full", "blobless", "shallow":
	default:
		return fmt.Errorf("method %q is not one of full, blobless, shallow", c.spec.Method)
	}
	if err := c.locate(c.s.work.Project.CloneURL); err != nil {
		return err
	}
	if err := c.configure(); err != nil {
		return err
	}
	if c.local == "" && isSSH(c.source) && len(c.s.work.SSHKeys) > 0 {
		return c.s.installKeys(c.s.work.SSHKeys)
	}
	return nil
}

// configure writes the settings that git runs with: those of the job, and
// that a repository of another user of this machine is fine, since nothing in
// it is run. A file is the only way that also reaches the git on the other
// side of a clone from a path.
func (c *checkout) configure() error {
	theirs := c.s.env["GIT_CONFIG_GLOBAL"]
	if theirs == "" {
		theirs = "~/.gitconfig"
	}
	c.config = c.s.temporary("gitconfig")
	text := fmt.Sprintf("[include]\n\tpath = %q\n[safe]\n\tdirectory = *\n[advice]\n\tdetachedHead = false\n", theirs)
	if err := c.s.write(c.config, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write settings of git: %w", err)
	}
	return nil
}

// goodRef applies the rules of git check-ref-format that matter here.
func goodRef(name string) bool {
	if strings.HasPrefix(name, "-") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") ||
		strings.HasSuffix(name, ".lock") || strings.Contains(name, "..") || strings.Contains(name, "//") || strings.Contains(name, "@{") {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == 0x7f || strings.ContainsRune(" ~^:?*[\\", r)
	})
}

// locate sorts the address: a path here, or an address that git may use.
func (c *checkout) locate(address string) error {
	c.source = address
	if isHere(address) {
		c.local = address
		if u, err := url.Parse(address); err == nil && u.Scheme == "file" {
			c.local = u.Path
		}

		c.local = filepath.Clean(c.local)
		c.source = c.local
		if _, err := os.Stat(c.local); err != nil {
			return fmt.Errorf("there is no repository at %s: %w", c.local, plain(err))
		}
		if gitDir(c.local) == "" {
			return fmt.Errorf("there is no repository at %s: not a git repository", c.local)
		}
		return nil
	}
	scheme, _, found := strings.Cut(address, "://")
	switch scheme {
	case "https", "http", "ssh", "git":
		found = found && !strings.HasPrefix(address[len(scheme)+3:], "-")
	default: // user@host:path
		host, path, ok := strings.Cut(address, ":")
		found = ok && !found && host != "" && path != "" && !strings.HasPrefix(path, ":") && !strings.HasPrefix(address, "-") && !strings.Contains(host, "/")
	}
	if !found {
		return fmt.Errorf("%q is no address that can be cloned", redact(address))
	}
	return nil
}

func isSSH(address string) bool {
	return strings.HasPrefix(address, "ssh://") || !strings.Contains(address, "://")
}

// isHere reports whether an address is a path of this machine.
func isHere(address string) bool {
	u, err := url.Parse(address)
	return filepath.IsAbs(address) || err == nil && u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && u.Path != ""
}

// redact hides a password in an address.
func redact(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil && u.Scheme != "" {
		if _, ok := u.User.Password(); ok || u.Scheme != "ssh" {
			u.User = url.User("****")
		}
		return strings.Replace(u.String(), "%2A%2A%2A%2A", "****", 1)
	}
	return address
}

// run brings the source into the directory.
func (c *checkout) run(ctx context.Context) error {
	empty := true
	if err := c.s.within(func() (err error) {
		empty, err = c.isEmpty()
		return err
	}); err != nil {
		return err
	}
	if !empty {
		return c.update(ctx)
	}
	fmt.Fprintf(c.st.out, "Cloning %s\n", redact(c.source))
	return c.clone(ctx)
}

// isEmpty reports whether there is nothing yet where the source goes. That
// there is something else than a repository is an error.
func (c *checkout) isEmpty() (bool, error) {
	if c.hasRepository() {
		return false, nil
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("read %s: %w", c.s.show(c.dir), plain(err))
	}
	for _, e := range entries {
		if e.Name() == ".ssh" && c.dir == c.s.layout.Home {
			return false, nil // the agent's own doing
		}
		return false, fmt.Errorf("directory %s is not empty and not a git repository", c.s.show(c.dir))
	}
	return true, nil
}

// hasRepository is called within the place.
func (c *checkout) hasRepository() bool {
	_, err := os.Lstat(filepath.Join(c.dir, ".git"))
	return err == nil
}

// clone makes a new repository.
func (c *checkout) clone(ctx context.Context) error {
	if c.spec.Method == "shallow" {
		return c.update(ctx)
	}
	args := []string{"clone", "--quiet"}
	quick := c.spec.Method != "blobless" && c.local != "" && c.ref.branch != "" && headOf(c.local, c.ref.branch) == c.ref.revision
	switch {
	case quick: // one command does it all
		args = append(args, "--branch", c.ref.branch)
	case c.spec.Method == "blobless":
		args = append(args, "--no-checkout", "--filter=blob:none")
	default:
		args = append(args, "--no-checkout")
	}
	source := c.source
	if c.spec.Method == "blobless" && c.local != "" {
		source = "file://" + c.local // a plain path knows no filters
	}
	err := c.git(ctx, "", append(args, "--", source, c.dir)...)
	if err != nil && source == c.local && ctx.Err() == nil {
		// Its files may have been packed anew under our hands. Through git's
		// protocol that does not matter.
		err = c.git(ctx, "", append(args, "--", "file://"+c.local, c.dir)...)
	}
	if err != nil {
		return fmt.Errorf("cannot clone %s: %w", redact(c.source), err)
	}
	head := ""
	_ = c.s.within(func() error {
		head = headOf(c.dir, c.ref.branch)
		return nil
	})
	if quick && head == c.ref.revision {
		return nil
	}
	return c.place(ctx)
}

// update fetches into a repository, which is made if there is none, and resets
// it to the revision.
func (c *checkout) update(ctx context.Context) error {
	there := false
	_ = c.s.within(func() error {
		there = c.hasRepository()
		return nil
	})
	if !there {
		if err := c.git(ctx, "", "init", "--quiet", "--", c.dir); err != nil {
			return err
		}
		if err := c.git(ctx, c.dir, "remote", "add", "origin", c.source); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.st.out, "Fetching into the existing repository from %s\n", redact(c.source))
		if err := c.git(ctx, c.dir, "remote", "set-url", "origin", c.source); err != nil {
			if err := c.git(ctx, c.dir, "remote", "add", "origin", c.source); err != nil {
				return err
			}
		}
	}
	if c.spec.Method == "shallow" {
		if err := c.fetchShallow(ctx); err != nil {
			return fmt.Errorf("cannot fetch %s: %w", redact(c.source), err)
		}
		return c.place(ctx)
	}
	args := []string{"fetch", "--quiet", "--force", "--tags"}
	if c.spec.Method == "blobless" {
		args = append(args, "--filter=blob:none")
	}
	if err := c.git(ctx, c.dir, append(args, "--", "origin", "+refs/heads/*:refs/remotes/origin/*")...); err != nil {
		return fmt.Errorf("cannot fetch %s: %w", redact(c.source), err)
	}
	return c.place(ctx)
}

// fetchShallow fetches no more of the history than asked for.
func (c *checkout) fetchShallow(ctx context.Context) error {
	source := "origin"
	if c.local != "" {
		source = "file://" + c.local // a plain path knows no depth
	}
	depth := "--depth=" + strconv.Itoa(max(c.spec.Depth, 1))
	if c.git(ctx, c.dir, "fetch", "--quiet", "--force", depth, "--", source, c.ref.revision) == nil {
		return nil
	}
	// A server that gives no single commits: the branch, and it may be deep.
	return c.git(ctx, c.dir, "fetch", "--quiet", "--force", depth, "--", source, c.remoteRef())
}

// remoteRef returns the ref at the source that should hold the revision.
func (c *checkout) remoteRef() string {
	switch {
	case c.ref.pull > 0:
		return fmt.Sprintf("refs/pull/%d/head", c.ref.pull)
	case c.ref.branch != "":
		return "refs/heads/" + c.ref.branch
	case c.ref.tag != "":
		return "refs/tags/" + c.ref.tag
	}
	return "HEAD"
}

// place makes the working tree that of the revision, fetching it if need be.
func (c *checkout) place(ctx context.Context) error {
	if c.ref.pull == 0 && c.reset(ctx) == nil {
		return nil
	}
	if err := c.git(ctx, c.dir, "fetch", "--quiet", "--force", "--", "origin", c.remoteRef()); err != nil {
		// Perhaps the ref is gone and the commit is not.
		_ = c.git(ctx, c.dir, "fetch", "--quiet", "--force", "--", "origin", c.ref.revision)
	}
	if err := c.reset(ctx); err != nil {
		return fmt.Errorf("%s is not in %s: %w", c.ref.show(), redact(c.source), err)
	}
	return nil
}

// reset checks the revision out, as a branch if it is one.
func (c *checkout) reset(ctx context.Context) error {
	if c.ref.branch == "" {
		return c.git(ctx, c.dir, "checkout", "--quiet", "--force", "--detach", c.ref.revision)
	}
	return c.git(ctx, c.dir, "checkout", "--quiet", "--force", "-B", c.ref.branch, c.ref.revision)
}

// git runs git in a directory of the steps; "" is the home directory.
func (c *checkout) git(ctx context.Context, dir string, args ...string) error {
	if dir == "" {
		dir = c.s.layout.Home
	}
	env := c.s.env.with(
		ci.Var{Name: "GIT_TERMINAL_PROMPT", Value: "0"},
		ci.Var{Name: "GIT_ALLOW_PROTOCOL", Value: "file:git:http:https:ssh"},
		ci.Var{Name: "LC_ALL", Value: "C"},
		ci.Var{Name: "GIT_CONFIG_GLOBAL", Value: c.config},
	)
	if _, ok := env["GIT_SSH_COMMAND"]; !ok {
		env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new"
	}
	code, _, cause, err := c.s.exec(ctx, c.st.out, place.Command{
		Args: append([]string{"git"}, args...), Env: env.list(c.s.bin()), Dir: dir,
	}, defaultSilence)
	switch {
	case err != nil:
		return err
	case cause != nil:
		return cause
	case code != 0:
		return fmt.Errorf("git %s exited with code %d", args[0], code)
	}
	return nil
}
