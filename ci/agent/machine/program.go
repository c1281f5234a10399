package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// prefix is how the program is called on machines, with its hash behind it.
const prefix = "rondo-machine-agent-"

// Named reports whether a program that was called by this name is to be the
// agent on a machine: its main function calls [Attend].
func Named(arg0 string) bool { return strings.HasPrefix(filepath.Base(arg0), prefix) }

// A Program is the file that is brought to machines. It is read once, and must
// not change afterwards. It is safe for concurrent use.
type Program struct {
	path string
	sum  func() (string, error) // SHA-256
}

// NewProgram returns the program in a file, as a rule the executable of this
// process. The file is read when it is first needed.
func NewProgram(path string) *Program {
	return &Program{path, sync.OnceValues(func() (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read the program of agents: %w", err)
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return "", fmt.Errorf("read the program of agents: %w", err)
		}
		return hex.EncodeToString(sum.Sum(nil)), nil
	})}
}

// names says how uname -sm calls what this program is for.
func names() []string {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64":
		return []string{"Linux x86_64"}
	case "linux/arm64":
		return []string{"Linux aarch64", "Linux arm64"}
	}
	return nil
}

// look finds out what the machine is, and whether it has the program: an image
// may bring it along in /usr/local/lib/rondo.
const look = `uname -sm; h="${HOME:?}/.cache/rondo"; for d in /usr/local/lib/rondo "$h"; do
f="$d/%[1]s%[2]s"; [ -x "$f" ] && echo "%[2]s  $f" | sha256sum -c --status - && echo "has $f" && exit 0; done; echo "to $h/%[1]s%[2]s"`

// take writes its standard input to the file, whole or not at all.
const take = `set -e; f=%[1]s; umask 077; mkdir -p "$(dirname "$f")"; cat >"$f.$$"; echo "%[2]s  $f.$$" | sha256sum -c --status - || { rm -f "$f.$$"; echo "it did not arrive whole; is the disk full?" >&2; exit 1; }
chmod 700 "$f.$$"; mv "$f.$$" "$f"`

// bring sees to it that the machine has the program, and returns its path there.
func (p *Program) bring(ctx context.Context, v Visit, out io.Writer) (string, error) {
	sum, err := p.sum()
	if err != nil {
		return "", err
	}
	said, err := ask(ctx, v, fmt.Sprintf(look, prefix, sum), nil)
	if err != nil {
		return "", err
	}
	kind, rest, _ := strings.Cut(said, "\n")
	if !slices.Contains(names(), kind) {
		return "", fmt.Errorf("it is a %.40q, and this agent is for %s/%s: run agents of the machines' architecture: %w", kind, runtime.GOOS, runtime.GOARCH, ci.ErrInvalid)
	}
	how, path, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if !strings.HasPrefix(path, "/") || !strings.HasSuffix(path, "/"+prefix+sum) {
		return "", errors.New("it does not say where it has files; are sh, uname and sha256sum there?")
	}
	if how == "has" {
		return path, nil
	}
	f, err := os.Open(p.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		fmt.Fprintf(out, "Bringing the agent to the machine (%d MB).\n", info.Size()>>20)
	}
	if _, err := ask(ctx, v, fmt.Sprintf(take, quote(path), sum), f); err != nil {
		return "", fmt.Errorf("bring the agent: %w", err)
	}
	return path, nil
}

// ask runs a script and returns what it says, bounded.
func ask(ctx context.Context, v Visit, script string, in io.Reader) (string, error) {
	var out, errs tail
	out.max, errs.max = 4<<10, 1<<10
	code, err := v.Run(ctx, "exec sh -c "+quote(script), in, &out, &errs)
	switch {
	case err != nil:
		return "", err
	case code != 0:
		return "", fmt.Errorf("it answers with code %d: %s", code, lastLine(errs.String()))
	}
	return out.String(), nil
}
