package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A gitError is a run of git that ended badly.
type gitError struct {
	exit   int
	stderr string
}

func (e *gitError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("git ended with exit code %d", e.exit)
	}
	return "git: " + e.stderr
}

// always are given to every run of git: what the repository's own
// configuration must not turn on, since it could run programs or change the
// form of the output.
var always = []string{
	"-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "core.splitIndex=false",
	"-c", "core.quotePath=false", "-c", "log.showSignature=false", "-c", "color.ui=never", "-c", "core.fsync=none",
	"-c", "advice.addEmbeddedRepo=false", "-c", "gc.auto=0", "-c", "init.defaultRefFormat=files",
}

// git runs git in dir and returns what it wrote. Variables of the form GIT_* of
// this process, which a hook would have set, do not reach it; env adds some.
func git(ctx context.Context, dir string, env []string, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append(append(always[:len(always):len(always)], "-C", dir), args...)...)
	cmd.Env = append(environment(), env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, report bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &head{b: &report, left: 64 << 10}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("git is not installed, or not on PATH: %w", err)
	case errors.As(err, &exit):
		return out.Bytes(), &gitError{exit.ExitCode(), complaint(report.String())}
	}
	return nil, err
}

// environment returns that of this process without what steers git.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "LC_ALL=") && !strings.HasPrefix(v, "LANGUAGE=") {
			env = append(env, v)
		}
	}
	return append(env, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_LITERAL_PATHSPECS=1", "GIT_NO_LAZY_FETCH=1")
}

// complaint returns what git said, on one line.
func complaint(stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"fatal: ", "error: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		if line != "" && !strings.HasPrefix(line, "hint:") && !strings.HasPrefix(line, "warning:") && len(lines) < 4 {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// A head keeps the first bytes written to it.
type head struct {
	b    *bytes.Buffer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.b.Write(p[:n])
	h.left -= n
	return len(p), nil
}

// line returns the output without the newline that ends it. Only one is taken:
// a path may end with one of its own.
func line(out []byte) string { return strings.TrimSuffix(string(out), "\n") }

// exited reports whether git itself ended with that exit code.
func exited(err error, code int) bool {
	var g *gitError
	return errors.As(err, &g) && g.exit == code
}

// resolve returns the full hash of the commit that a revision names.
func (r *Repo) resolve(ctx context.Context, rev string) (string, error) {
	if rev == "" || strings.HasPrefix(rev, "-") || strings.ContainsAny(rev, "\x00\n\r") {
		return "", fmt.Errorf("revision %q: %w", rev, ci.ErrInvalid)
	}
	out, err := git(ctx, r.dir, nil, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	var g *gitError
	switch {
	case errors.As(err, &g):
		return "", fmt.Errorf("revision %q: %w", rev, ci.ErrNotFound)
	case err != nil:
		return "", err
	}
	hash := strings.TrimPrefix(line(out), "--end-of-options\n") // some versions repeat it
	if !isHash(hash) {
		return "", fmt.Errorf("revision %q: %w", rev, ci.ErrNotFound)
	}
	return hash, nil
}

// isRef reports whether s can be the full name of a branch or tag, by the rules
// of git check-ref-format. To git itself "refs/heads/main~3" and
// "refs/heads/main@{1}" are commits too, but there is no such branch.
func isRef(s string) bool {
	if !strings.HasPrefix(s, "refs/heads/") && !strings.HasPrefix(s, "refs/tags/") {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("~^:?*[\\", r) }
	return !strings.HasSuffix(s, ".") && !strings.Contains(s, "..") && !strings.Contains(s, "@{") && !strings.ContainsFunc(s, bad)
}

// isHash reports whether s is a full object name, SHA-1 or SHA-256.
func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
