package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
)

// A Visit is a machine that was logged in to. Package vmservice/guest has one.
type Visit interface {
	// Run runs a command line by the user's shell and returns its exit code. An
	// error is that the connection was lost, or that ctx has ended; then
	// whatever ran has lost its standard input.
	Run(ctx context.Context, command string, in io.Reader, out, errs io.Writer) (int, error)
	// Close ends the visit. Twice is allowed.
	Close() error
}

// Config says how a [Remote] reaches machines, and how machines reach the
// server through it. All but
// Patience and Log is required.
type Config struct {
	// Login logs in to a machine. An error that wraps [ci.ErrInvalid] or
	// [ci.ErrDenied] is not tried again.
	Login func(context.Context, ci.Machine) (Visit, error)
	// Base and HTTP reach the server's door, as door.Dial returns them.
	Base string
	HTTP *http.Client
	// Token opens the door for the task; it is asked once the task was claimed.
	Token func() string
	// Program is what is brought to machines.
	Program *Program
	// Patience is how long an agent on a machine may take to end after it was
	// asked to; 0 is 40 s.
	Patience time.Duration
	// Log takes what agents on machines say for operators; nil is silent.
	Log *slog.Logger
}

// A Remote enters machines for an agent. It implements [agent.Remote].
type Remote struct{ cfg Config }

// New returns a remote. It connects to nothing.
func New(cfg Config) *Remote {
	cfg.Patience = cmp.Or(cfg.Patience, 40*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Remote{cfg}
}

// loginTime is how long a machine may take to let the agent in.
const loginTime = time.Minute

// Enter implements [agent.Remote]: it logs in and brings the program. A machine
// of another architecture than this one is [ci.ErrInvalid].
func (r *Remote) Enter(ctx context.Context, m ci.Machine, out io.Writer) (agent.There, error) {
	v, err := r.login(ctx, m)
	if err != nil {
		return nil, err
	}
	path, err := r.cfg.Program.bring(ctx, v, out)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("machine %s: %w", m.ID, err), v.Close())
	}
	return &there{r.cfg, m.ID, v, path}, nil
}

func (r *Remote) login(ctx context.Context, m ci.Machine) (Visit, error) {
	limited, stop := context.WithTimeout(ctx, loginTime)
	defer stop()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		v, err := r.cfg.Login(limited, m)
		if err == nil || errors.Is(err, ci.ErrInvalid) || errors.Is(err, ci.ErrDenied) {
			return v, err
		}
		select {
		case <-limited.Done():
			return nil, err
		case <-time.After(wait):
		}
	}
}

// A there is a machine with the program on it.
type there struct {
	cfg   Config
	id    string
	visit Visit
	path  string
}

// The exit codes of the agent on a machine.
const (
	exitDone       = 0
	exitFault      = 1
	exitSuperseded = 3
)

// Run implements [agent.There].
func (t *there) Run(ctx context.Context, r agent.Rest) error {
	if t.cfg.Token() == "" {
		return fmt.Errorf("run a task on machine %s: no token: %w", t.id, ci.ErrInvalid)
	}
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	unhook := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(t.cfg.Patience, func() { stop(fmt.Errorf("it did not end within %s", t.cfg.Patience)) })
		context.AfterFunc(running, func() { late.Stop() })
	})
	defer unhook()
	said := &tail{max: 2 << 10}
	served := t.serve(ctx, r)
	code, err := t.visit.Run(running, "exec "+quote(t.path), served.in, served.out, said)
	served.close()
	text := said.String()
	if text != "" {
		t.cfg.Log.Info("the agent on a machine has said", "machine", t.id, "task", r.Work.Lease.Task, "text", text)
	}
	switch {
	case err != nil:
		return fmt.Errorf("machine %s: %w", t.id, err)
	case code == exitDone:
		return nil
	case code == exitSuperseded:
		return fmt.Errorf("machine %s: another agent has the task: %w", t.id, ci.ErrConflict)
	}
	return fmt.Errorf("machine %s: the agent there has ended with code %d: %s", t.id, code, cmp.Or(lastLine(text), "it has said nothing"))
}

// Close implements [agent.There].
func (t *there) Close() error { return t.visit.Close() }

// lastLine returns what was said last.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// quote returns a text as one word of a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// A tail keeps the end of what is written to it, printable.
type tail struct {
	max  int
	text []byte
}

// Write implements [io.Writer]; it never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if cut := len(t.text) - t.max; cut > 0 {
		t.text = append(t.text[:0], t.text[cut:]...)
	}
	return len(p), nil
}

// String returns it without what terminals would obey.
func (t *tail) String() string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, string(t.text)))
}
