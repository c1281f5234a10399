package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Above these sizes in bytes, untracked files earn a warning.
const (
	hugeFile  = 50 << 20
	hugeTotal = 500 << 20
)

// A draft is a snapshot in the making.
type draft struct {
	repo      *Repo
	s         *Snapshot
	dir       string   // the temporary bare repository
	index     string   // a copy of the user's
	untracked []string // files that are neither known nor ignored
}

// status fills in what is checked out, collects the untracked files, and
// reports whether anything may differ from HEAD. It warns about changes that no
// commit of this repository could hold.
func (d *draft) status(ctx context.Context) (changed bool, err error) {
	out, err := git(ctx, d.repo.dir, nil, nil, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all",
		"--ignore-submodules=none", "--no-renames")
	if err != nil {
		return false, err
	}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		kind, rest, _ := strings.Cut(entry, " ")
		switch kind {
		case "":
		case "#":
			d.header(rest)
		case "?":
			changed = true
			d.foundUntracked(rest)
		default:
			changed = d.foundChange(kind, rest) || changed
		}
	}
	if total := d.size(); total > hugeTotal {
		d.warn("untracked files have %d MB; ignore what the jobs do not need to make this faster", total>>20)
	}
	return changed, nil
}

// header reads a line about what is checked out.
func (d *draft) header(text string) {
	name, value, _ := strings.Cut(text, " ")
	switch {
	case name == "branch.oid" && isHash(value):
		d.s.Revision = value
	case name == "branch.head" && value != "(detached)":
		d.s.Branch = value
	}
}

// foundChange looks at a change of a known file, and reports false when it is
// one within a submodule, which stays there.
func (d *draft) foundChange(kind, text string) bool {
	f := strings.SplitN(text, " ", 8) // XY sub mH mI mW hH hI path
	if kind != "1" || len(f) < 8 || f[1][0] != 'S' {
		return true
	}
	if strings.ContainsAny(f[1], "MU") {
		d.warn("changes within submodule %s are left out", f[7])
	}
	return f[0] != ".M" || f[1][1] == 'C'
}

func (d *draft) foundUntracked(name string) {
	if strings.HasSuffix(name, "/") {
		d.warn("%s is a repository of its own and is left out", strings.TrimSuffix(name, "/"))
		return
	}
	d.untracked = append(d.untracked, name)
}

// size returns the size of the untracked files, and warns about large ones.
func (d *draft) size() (total int64) {
	for _, name := range d.untracked {
		info, err := os.Lstat(filepath.Join(d.repo.dir, name))
		if err != nil {
			continue // gone meanwhile
		}
		total += info.Size()
		if info.Size() > hugeFile {
			d.warn("untracked file %s has %d MB; ignore it to make this faster", name, info.Size()>>20)
		}
	}
	return total
}

func (d *draft) warn(format string, args ...any) {
	d.s.Warnings = append(d.s.Warnings, fmt.Sprintf(format, args...))
}

// git runs git on the user's files with the draft's index and objects.
func (d *draft) git(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	return git(ctx, d.repo.dir, []string{
		"GIT_INDEX_FILE=" + d.index, "GIT_OBJECT_DIRECTORY=" + filepath.Join(d.dir, "objects"),
	}, stdin, args...)
}

func (d *draft) make(ctx context.Context) (err error) {
	if d.s.temp, err = os.MkdirTemp("", "rondo-snapshot-"); err != nil {
		return err
	}
	d.dir, d.index = filepath.Join(d.s.temp, "repo.git"), filepath.Join(d.s.temp, "index")
	if err := d.init(ctx); err != nil {
		return fmt.Errorf("make a temporary repository: %w", err)
	}
	if err := d.copyIndex(); err != nil {
		return fmt.Errorf("copy the index: %w", err)
	}
	if _, err := d.git(ctx, nil, "add", "--update"); err != nil {
		return fmt.Errorf("add changed files: %w", err)
	}
	if len(d.untracked) > 0 {
		list := []byte(strings.Join(d.untracked, "\x00"))
		// A file that is gone by now is not missed.
		if _, err := d.git(ctx, list, "update-index", "--add", "--remove", "--replace", "-z", "--stdin"); err != nil {
			return fmt.Errorf("add untracked files: %w", err)
		}
	}
	out, err := d.git(ctx, nil, "write-tree")
	if err != nil {
		return fmt.Errorf("write tree: %w", err)
	}
	return d.commit(ctx, line(out))
}

// init makes the temporary repository. It borrows the objects of the user's and
// has the same branches and tags, so that jobs can compare with them. Every run
// of git costs more than these few files, so they are written by hand.
func (d *draft) init(ctx context.Context) error {
	format, extensions := 0, ""
	if sha256, err := d.sha256(ctx); err != nil {
		return err
	} else if sha256 {
		format, extensions = 1, "[extensions]\n\tobjectformat = sha256\n"
	}
	refs, err := git(ctx, d.repo.dir, nil, nil, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if err != nil {
		return err
	}
	files := map[string]string{
		"config": fmt.Sprintf("[core]\n\trepositoryformatversion = %d\n\tbare = true\n%s"+
			"[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n", format, extensions),
		"HEAD":                    "ref: refs/heads/" + d.branch() + "\n",
		"objects/info/alternates": quote(filepath.Join(d.repo.common, "objects")) + "\n",
		"packed-refs":             "# pack-refs with: sorted \n" + string(refs),
	}
	// A shallow clone stays one.
	if shallow, err := os.ReadFile(filepath.Join(d.repo.common, "shallow")); err == nil {
		files["shallow"] = string(shallow)
	}
	if err := os.MkdirAll(filepath.Join(d.dir, "refs", "heads"), 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := d.put(name, text); err != nil {
			return err
		}
	}
	return nil
}

// sha256 reports whether the repository names objects by SHA-256.
func (d *draft) sha256(ctx context.Context) (bool, error) {
	if d.s.Revision != "" {
		return len(d.s.Revision) == 64, nil
	}
	out, err := git(ctx, d.repo.dir, nil, nil, "rev-parse", "--show-object-format")
	return line(out) == "sha256", err
}

// branch is what the temporary repository has checked out.
func (d *draft) branch() string { return cmp.Or(d.s.Branch, "rondo-working-copy") }

// put writes a file of the temporary repository.
func (d *draft) put(name, text string) error {
	path := filepath.Join(d.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// quote writes a path as git reads it in a list of alternates.
func quote(path string) string {
	if !strings.ContainsAny(path, "\n") && !strings.HasPrefix(path, "\"") && !strings.HasPrefix(path, "#") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}

// copyIndex copies the user's index, so that git need not read the files that
// have not changed. The copy keeps the time of the original: git takes files
// younger than their index for possibly changed.
func (d *draft) copyIndex() error {
	path := filepath.Join(d.repo.gitDir, "index")
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing was ever added
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.index, data, 0o600); err != nil {
		return err
	}
	return os.Chtimes(d.index, info.ModTime(), info.ModTime())
}

// commit commits the tree, unless it is that of HEAD, and puts the branch of the
// temporary repository there.
func (d *draft) commit(ctx context.Context, tree string) error {
	args, date := []string{"commit-tree", tree}, "1000000000"
	if head := d.s.Revision; head != "" {
		out, err := d.git(ctx, nil, "log", "-1", "--format=%T %ct", head, "--")
		if err != nil {
			return err
		}
		was, seconds, _ := strings.Cut(line(out), " ")
		if was == tree {
			return nil // nothing but the times of files had changed
		}
		args, date = append(args, "-p", head), seconds
	} else if isEmptyTree(tree) {
		return fmt.Errorf("there are no commits and no files yet: %w", ci.ErrNotFound)
	}
	message := "Working copy, not committed"
	if d.s.Branch != "" {
		message = "Working copy of " + d.s.Branch + ", not committed"
	}
	env := []string{"GIT_OBJECT_DIRECTORY=" + filepath.Join(d.dir, "objects")}
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		env = append(env, "GIT_"+who+"_NAME=Rondo", "GIT_"+who+"_EMAIL=rondo@localhost", "GIT_"+who+"_DATE="+date+" +0000")
	}
	out, err := git(ctx, d.repo.dir, env, []byte(message+"\n"), args...)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := d.put("refs/heads/"+d.branch(), line(out)+"\n"); err != nil {
		return fmt.Errorf("name commit: %w", err)
	}
	d.s.URL, d.s.Revision, d.s.Dirty = d.dir, line(out), true
	return nil
}

// isEmptyTree reports whether the tree has no entries, in SHA-1 or SHA-256.
func isEmptyTree(tree string) bool {
	return slices.Contains([]string{
		"4b825dc642cb6eb9a060e54bf8d69288fbee4904",
		"6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
	}, tree)
}
