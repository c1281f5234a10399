package machine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
	"github.com/rondo-ci/rondo/ci/agent/machine"
)

// A local is a machine that is this one: scripts run with a home of their own,
// and its agent is a function.
type local struct {
	home  string
	agent func(ctx context.Context, in io.Reader, out, errs io.Writer) (int, error)
	uname string // what it says that it is; "" is the truth
	ended chan struct{}
}

func newLocal(t testing.TB) *local { return &local{home: t.TempDir(), ended: make(chan struct{})} }

// Run implements [machine.Visit].
func (l *local) Run(ctx context.Context, command string, in io.Reader, out, errs io.Writer) (int, error) {
	if !strings.HasPrefix(command, "exec sh -c ") {
		program := strings.Trim(strings.TrimPrefix(command, "exec "), "'")
		if info, err := os.Stat(program); err != nil || info.Mode()&0o100 == 0 {
			return 126, nil
		}
		return l.agent(ctx, in, out, errs)
	}
	if l.uname != "" {
		command = strings.Replace(command, "uname -sm", "echo "+l.uname, 1)
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.home}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// Close implements [machine.Visit].
func (l *local) Close() error { return nil }

// attends makes its agent do something with the task.
func (l *local) attends(run func(context.Context, machine.Link) error) {
	l.agent = func(ctx context.Context, in io.Reader, out, errs io.Writer) (int, error) {
		code, err := machine.Attend(context.Background(), in, out, run)
		if err != nil {
			fmt.Fprintln(errs, err)
		}
		return code, nil
	}
}

// remote returns one for the local machine, whose program is a small file.
func remote(t testing.TB, l *local, door http.Handler) *machine.Remote {
	s := httptest.NewServer(door)
	t.Cleanup(s.Close)
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/true\n"), 0o700))
	return machine.New(machine.Config{
		Login: func(context.Context, ci.Machine) (machine.Visit, error) { return l, nil },
		Base:  s.URL, HTTP: s.Client(), Token: func() string { return "token" }, Program: machine.NewProgram(program), Patience: time.Minute,
	})
}

func enter(t testing.TB, r *machine.Remote) agent.There {
	there, err := r.Enter(t.Context(), ci.Machine{ID: "m1"}, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { _ = there.Close() })
	return there
}

var nothing = http.NotFoundHandler()

// What the agent that claimed has, the one on the machine has too; and it
// reaches the door for its task, with all that HTTP carries, and nothing else.
func TestVMS06_TheTaskAndItsDoor(t *testing.T) {
	w := agenttest.Work(agenttest.Run("true"))
	w.Environment = []ci.Var{{Name: "KEY", Value: "s3cret", Secret: true}}
	own := fmt.Sprintf("/door/v1/tasks/%s/1/", w.Lease.Task)
	var got []string
	door := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprintf("%s %s %s %d %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), len(body), r.Trailer.Get("Content-Digest")))
		rw.Header().Set("Trailer", "Rondo-Result")
		_, _ = rw.Write(body)
		rw.Header().Set("Rondo-Result", "ok")
	})
	l := newLocal(t)
	var link machine.Link
	l.attends(func(ctx context.Context, k machine.Link) error {
		link = k
		for _, path := range []string{"/metrics", "/door/v1/tasks/other.0/1/claim", own + "../../other.0/1/claim", strings.Replace(own, "/1/", "/2/", 1) + "claim"} {
			q, _ := http.NewRequestWithContext(ctx, "POST", k.Base+path, nil)
			res, err := k.HTTP.Do(q)
			require.NoError(t, err)
			require.Equal(t, http.StatusForbidden, res.StatusCode, path)
			res.Body.Close()
		}
		const size = 3 << 20
		q, _ := http.NewRequestWithContext(ctx, "POST", k.Base+own+"file", io.LimitReader(zeros{}, size))
		q.ContentLength = -1
		q.Trailer = http.Header{"Content-Digest": {"sha-256=:x:"}}
		q.Header.Set("Authorization", "Bearer "+k.Token)
		q.Header.Set("Expect", "100-continue")
		res, err := k.HTTP.Do(q)
		require.NoError(t, err)
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.Equal(t, "ok", res.Trailer.Get("Rondo-Result"))
		return nil
	})
	there := enter(t, remote(t, l, door))
	require.NoError(t, there.Run(t.Context(), agent.Rest{Work: w, Steps: 1, MaxTime: time.Hour}))
	require.Equal(t, []string{"POST " + own + "file Bearer token 3145728 sha-256=:x:"}, got)
	require.Equal(t, "s3cret", link.Rest.Work.Environment[0].Value)
	require.Equal(t, w.Lease, link.Rest.Work.Lease)
	require.Equal(t, 1, link.Rest.Steps)
	require.Equal(t, time.Hour, link.Rest.MaxTime)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// The task is told to stop, with the reason.
func TestStopWithReason(t *testing.T) {
	l := newLocal(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	l.attends(func(ctx context.Context, _ machine.Link) error {
		cancel(errors.New("its node drains"))
		<-ctx.Done()
		require.EqualError(t, context.Cause(ctx), "its node drains")
		return nil
	})
	require.NoError(t, enter(t, remote(t, l, nothing)).Run(ctx, agent.Rest{Work: agenttest.Work()}))
}

// An agent that does not stop is given up.
func TestStopIsNotHeard(t *testing.T) {
	l := newLocal(t)
	ctx, cancel := context.WithCancel(t.Context())
	l.agent = func(running context.Context, _ io.Reader, _, _ io.Writer) (int, error) {
		cancel()
		<-running.Done()
		return 0, context.Cause(running)
	}
	r := machine.New(machine.Config{
		Login: func(context.Context, ci.Machine) (machine.Visit, error) { return l, nil },
		Base:  "http://127.0.0.1:1", HTTP: &http.Client{}, Token: func() string { return "t" }, Program: machine.NewProgram("/bin/true"), Patience: time.Millisecond,
	})
	err := enter(t, r).Run(ctx, agent.Rest{Work: agenttest.Work()})
	require.ErrorContains(t, err, "did not end within 1ms")
}

// Once the connection is gone nothing can be reported: the agent on the machine
// ends as if its lease were lost.
func TestConnectionLost(t *testing.T) {
	l := newLocal(t)
	cause := make(chan error, 1)
	l.agent = func(_ context.Context, in io.Reader, out, _ io.Writer) (int, error) {
		began := make(chan struct{})
		go func() {
			_, _ = machine.Attend(context.Background(), in, out, func(ctx context.Context, _ machine.Link) error {
				close(began)
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return nil
			})
		}()
		<-began
		return 0, errors.New("no answer for 45 s")
	}
	err := enter(t, remote(t, l, nothing)).Run(t.Context(), agent.Rest{Work: agenttest.Work()})
	require.ErrorContains(t, err, "machine m1: no answer for 45 s")
	require.ErrorIs(t, <-cause, ci.ErrConflict)
}

// Whatever a machine says or does, the other side ends, and tells it in words.
func TestHostileMachines(t *testing.T) {
	garbage := func(text string, code int) func(context.Context, io.Reader, io.Writer, io.Writer) (int, error) {
		return func(_ context.Context, _ io.Reader, out, errs io.Writer) (int, error) {
			_, _ = io.WriteString(out, text)
			_, _ = io.Copy(errs, io.LimitReader(zeros{}, 1<<20))
			_, _ = io.WriteString(errs, "\nlast \x1b[31mwords")
			return code, nil
		}
	}
	for name, c := range map[string]struct {
		agent func(context.Context, io.Reader, io.Writer, io.Writer) (int, error)
		want  string
		is    error
	}{
		"dies":       {garbage("", 137), "ended with code 137: last ?[31mwords", nil},
		"garbage":    {garbage(strings.Repeat("HTTP?\x00\xff", 1000), 1), "ended with code 1", nil},
		"superseded": {garbage("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 3), "another agent has the task", ci.ErrConflict},
	} {
		l := newLocal(t)
		l.agent = c.agent
		err := enter(t, remote(t, l, nothing)).Run(t.Context(), agent.Rest{Work: agenttest.Work()})
		require.ErrorContains(t, err, c.want, name)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, name)
		}
	}
}

// The program is brought once, whole, and found again.
func TestBringsTheProgram(t *testing.T) {
	l := newLocal(t)
	r := remote(t, l, nothing)
	enter(t, r)
	found, err := filepath.Glob(filepath.Join(l.home, ".cache/rondo/rondo-machine-agent-*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.True(t, machine.Named(found[0]))
	var out strings.Builder
	_, err = r.Enter(t.Context(), ci.Machine{}, &out)
	require.NoError(t, err)
	require.Empty(t, out.String(), "it is there")
	require.NoError(t, os.WriteFile(found[0], []byte("changed"), 0o700)) // by whom?
	_, err = r.Enter(t.Context(), ci.Machine{}, &out)
	require.NoError(t, err)
	require.Contains(t, out.String(), "Bringing the agent")

	l.uname = "Linux riscv64"
	_, err = r.Enter(t.Context(), ci.Machine{ID: "m1"}, io.Discard)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, `machine m1: it is a "Linux riscv64", and this agent is for linux/`)
}

// A machine that cannot be the right one is not tried again.
func TestLogin(t *testing.T) {
	for _, sentinel := range []error{ci.ErrDenied, ci.ErrInvalid} {
		r := machine.New(machine.Config{Login: func(context.Context, ci.Machine) (machine.Visit, error) {
			return nil, fmt.Errorf("another host key: %w", sentinel)
		}})
		_, err := r.Enter(t.Context(), ci.Machine{}, io.Discard)
		require.ErrorIs(t, err, sentinel)
	}
	tries, l := 0, newLocal(t)
	r := machine.New(machine.Config{Program: machine.NewProgram("/bin/true"), Login: func(context.Context, ci.Machine) (machine.Visit, error) {
		if tries++; tries < 3 {
			return nil, errors.New("connection refused")
		}
		return l, nil
	}})
	enter(t, r)
	require.Equal(t, 3, tries)
}

func Example() {
	// The side of the agent that has claimed a task. login is guest.Enter of
	// package vmservice/guest, base and client are what door.Dial returns.
	remote := func(login func(context.Context, ci.Machine) (machine.Visit, error), base string, client *http.Client, token func() string) *machine.Remote {
		return machine.New(machine.Config{
			Login: login, Base: base, HTTP: client, Token: token, Program: machine.NewProgram(os.Args[0]),
		})
	}
	_ = agent.Config{Remote: remote(nil, "https://ci.example.com:8585", http.DefaultClient, nil)}

	// The side of the program that was brought to the machine.
	if machine.Named(os.Args[0]) {
		code, err := machine.Attend(context.Background(), os.Stdin, os.Stdout, func(ctx context.Context, l machine.Link) error {
			var door agent.Door   // a client of l.Base over l.HTTP with l.Token
			var files agent.Files // the same
			return agent.New(door, files, agent.Config{MaxTime: l.Rest.MaxTime}).Resume(ctx, l.Rest)
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	fmt.Println("steps run where their files are")
	// Output: steps run where their files are
}
