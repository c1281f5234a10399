package local

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Commit is what people read of a commit.
type Commit struct {
	Revision string // full hash
	Subject  string // the first paragraph of the message, on one line
	Body     string // the rest of the message
	Author   string // name
	Email    string
	Time     time.Time // of committing
}

// Commit returns the commit that a revision names: a hash, a branch, a tag or
// anything that git understands. An unknown one is [ci.ErrNotFound].
func (r *Repo) Commit(ctx context.Context, rev string) (Commit, error) {
	if rev != "" && !strings.HasPrefix(rev, "-") {
		if hash, _, data, ok := r.objects.object(ctx, rev+"^{commit}", maxCommit); ok {
			if c, ok := parseCommit(hash, data); ok {
				return c, nil
			}
		}
	}
	hash, err := r.resolve(ctx, rev)
	if err != nil {
		return Commit{}, fmt.Errorf("commit in %s: %w", r.dir, err)
	}
	commits, err := r.commits(ctx, hash)
	if err != nil {
		return Commit{}, fmt.Errorf("commit %s in %s: %w", rev, r.dir, err)
	}
	return commits[hash], nil
}

// Contains reports whether the commit is in the history of a branch or tag, by
// its full name. A branch or tag that does not exist is [ci.ErrNotFound].
func (r *Repo) Contains(ctx context.Context, ref string, c Commit) (bool, error) {
	if !isRef(ref) {
		return false, fmt.Errorf("branch or tag %q: %w", ref, ci.ErrNotFound)
	}
	tip, err := r.Commit(ctx, ref)
	if err != nil {
		return false, err
	}
	_, err = git(ctx, r.dir, nil, nil, "merge-base", "--is-ancestor", c.Revision, tip.Revision)
	if exited(err, 1) {
		return false, nil
	}
	return err == nil, err
}

// commits reads commits by their full hashes, in one run of git.
func (r *Repo) commits(ctx context.Context, hashes ...string) (map[string]Commit, error) {
	const fields = 6
	out, err := git(ctx, r.dir, nil, []byte(strings.Join(hashes, "\n")+"\n"), "log", "--no-walk=unsorted", "--stdin",
		"-z", "--encoding=UTF-8", "--no-notes", "--no-color", "--format=tformat:%H%x00%an%x00%ae%x00%ct%x00%s%x00%b")
	if err != nil {
		return nil, err
	}
	parts := strings.Split(strings.ToValidUTF8(string(out), "\uFFFD"), "\x00")
	commits := make(map[string]Commit, len(hashes))
	for ; len(parts) >= fields; parts = parts[fields:] {
		seconds, _ := strconv.ParseInt(parts[3], 10, 64)
		commits[parts[0]] = Commit{
			Revision: parts[0], Author: parts[1], Email: parts[2], Time: time.Unix(seconds, 0).UTC(),
			Subject: parts[4], Body: strings.TrimRight(parts[5], "\n"),
		}
	}
	for _, h := range hashes {
		if _, ok := commits[h]; !ok {
			return nil, fmt.Errorf("revision %s: %w", h, ci.ErrNotFound)
		}
	}
	return commits, nil
}

// maxCommit is the size in bytes of the largest commit that is read at once.
const maxCommit = 1 << 20

// skipped reports whether the message asks for no pipeline.
func (c Commit) skipped() bool {
	for _, text := range []string{c.Subject, c.Body} {
		runes := []rune(text)
		text = string(runes[:min(len(runes), 250)])
		if strings.Contains(text, "[ci skip]") || strings.Contains(text, "[skip ci]") {
			return true
		}
	}
	return false
}

// MaxFile is the size in bytes of the largest file that [Repo.File] returns.
const MaxFile = 16 << 20

// File returns the content of a file at a revision. The path is relative to the
// top, with slashes; links within the repository are followed. A revision or
// file that does not exist is [ci.ErrNotFound], as is a folder; a file larger
// than [MaxFile] or a path that is not clean is [ci.ErrInvalid].
func (r *Repo) File(ctx context.Context, rev, path string) ([]byte, error) {
	data, err := r.file(ctx, rev, path)
	if err != nil {
		return nil, fmt.Errorf("file %s at %s: %w", path, rev, err)
	}
	return data, nil
}

func (r *Repo) file(ctx context.Context, rev, path string) ([]byte, error) {
	if !fs.ValidPath(path) || path == "." || strings.ContainsAny(path, "\n\x00") {
		return nil, fmt.Errorf("path: %w", ci.ErrInvalid)
	}
	hash := rev
	if !isHash(hash) {
		var err error
		if hash, err = r.resolve(ctx, rev); err != nil {
			return nil, err
		}
	}
	if _, kind, data, ok := r.objects.object(ctx, hash+":"+path, MaxFile); ok && kind == "blob" {
		return data, nil
	}
	name := []byte(hash + ":" + path + "\n")
	out, err := git(ctx, r.dir, nil, name, "cat-file", "--batch-check", "--follow-symlinks")
	if err != nil {
		return nil, err
	}
	// Either "hash type size", or a sentence that ends with why there is none.
	var object, kind string
	var size int64
	if n, _ := fmt.Sscanf(string(out), "%s %s %d", &object, &kind, &size); n != 3 || !isHash(object) {
		if _, err := r.resolve(ctx, hash); err != nil {
			return nil, err
		}
		return nil, ci.ErrNotFound
	}
	switch {
	case kind != "blob":
		return nil, fmt.Errorf("it is not a file: %w", ci.ErrNotFound)
	case size > MaxFile:
		return nil, fmt.Errorf("%d bytes are more than the limit of %d: %w", size, MaxFile, ci.ErrInvalid)
	}
	out, err = git(ctx, r.dir, nil, nil, "cat-file", "blob", object)
	return slices.Clip(out), err
}
