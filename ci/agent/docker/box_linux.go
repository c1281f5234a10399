package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/rondo-ci/rondo/ci/agent/docker/warden"
	"github.com/rondo-ci/rondo/ci/agent/host"
	"github.com/rondo-ci/rondo/ci/agent/place"
)

// A box is the sandbox of one task.
type box struct {
	executor *Executor
	task     string
	epoch    int64
	private  string // folder on this machine
	network  string
	id       string // of the primary container
	view     *view
	warden   *warden.Client
	as       account
	layout   place.Layout
	memory   int64 // limit, 0 for none

	mu         sync.Mutex
	containers []string
	closed     bool
	kills      int // for want of memory, seen so far
	entered    sync.WaitGroup
}

// name is that of the task's network and containers. It is unique, because a
// crashed agent's may still be there.
func (b *box) name() string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, b.task)
	return fmt.Sprintf("rondo-%.60s-%d-%s", clean, b.epoch, strings.TrimPrefix(filepath.Base(b.private), "docker-"))
}

func (b *box) labels() map[string]string {
	return map[string]string{LabelTask: b.task, LabelEpoch: strconv.FormatInt(b.epoch, 10), LabelOwner: b.executor.owner}
}

// Layout implements [place.Place].
func (b *box) Layout() place.Layout { return b.layout }

// Within implements [place.Place].
func (b *box) Within(f func()) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return errors.New("the place is closed")
	}
	b.entered.Add(1)
	b.mu.Unlock()
	defer b.entered.Done()
	return b.view.within(b.as, f)
}

// Start implements [place.Place].
func (b *box) Start(c place.Command) (place.Process, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("start process: no command")
	}
	var path string
	var ok bool
	if gone := b.Within(func() { path, ok = host.Look(c.Args[0], c.Env) }); gone != nil {
		return nil, gone
	}
	if !ok {
		return nil, fmt.Errorf("start %s: not found in PATH of the image", c.Args[0])
	}
	p, err := b.warden.Start(warden.Command{
		Path: path, Args: c.Args, Env: c.Env, Dir: c.Dir, Output: c.Output,
		UID: b.as.uid, GID: b.as.gid, Groups: b.as.groups,
	})
	if err != nil {
		if b.starved() {
			err = errors.New(b.why())
		}
		return nil, fmt.Errorf("start %s: %w", c.Args[0], err)
	}
	return &process{p, b}, nil
}

// A process is a step's, with what the engine knows about its end.
type process struct {
	*warden.Process
	box *box
}

// Why implements [place.Process].
func (p *process) Why() string {
	if p.Code() != 128+9 || !p.box.starved() {
		return ""
	}
	return p.box.why()
}

func (b *box) why() string {
	return fmt.Sprintf("the job used more than the %d MB of memory that its resource class has, and was killed by the system (OOM)", b.memory>>20)
}

// starved reports whether the system has killed something in the primary
// container, since it was asked last, because its memory was used up. The
// container's own control group knows at once; when the container has ended
// with it, the engine does.
func (b *box) starved() bool {
	if b.memory == 0 {
		return false
	}
	kills, known := 0, false
	_ = b.view.within(account{}, func() { kills, known = countKills() })
	b.mu.Lock()
	more := kills > b.kills
	b.kills = max(kills, b.kills)
	b.mu.Unlock()
	if known {
		return more
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	r, err := b.executor.engine.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
	return err == nil && r.Container.State != nil && r.Container.State.OOMKilled
}

// countKills reads how often the system has killed for want of memory, in the
// files of either version of control groups. It is called within the place.
func countKills() (int, bool) {
	for _, file := range []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				kills, err := strconv.Atoi(strings.TrimSpace(n))
				return kills, err == nil
			}
		}
	}
	return 0, false
}

// Kill implements [place.Place]. Services go on until the place is closed.
func (b *box) Kill() error {
	if b.warden == nil {
		return nil
	}
	err := b.warden.Kill()
	if err == nil {
		return nil
	}
	// It does not obey: the job may have tampered with it. Without it nothing
	// of the job lives.
	_ = b.warden.Close()
	ctx, stop := context.WithTimeout(context.Background(), closeTime)
	defer stop()
	_, killed := b.executor.engine.ContainerKill(ctx, b.id, client.ContainerKillOptions{Signal: "KILL"})
	if killed != nil && !cerrdefs.IsNotFound(killed) && !cerrdefs.IsConflict(killed) {
		return fmt.Errorf("kill task %s: %w", b.task, errors.Join(err, killed))
	}
	return nil
}

// closeTime bounds how long an engine may take to remove what a task had.
const closeTime = time.Minute

// Close implements [place.Place].
func (b *box) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	containers := slices.Clone(b.containers)
	b.mu.Unlock()
	if b.warden != nil {
		_ = b.warden.Close()
	}
	b.entered.Wait() // its files cannot be removed while somebody is in there
	if b.view != nil {
		b.view.close()
	}
	ctx, stop := context.WithTimeout(context.Background(), closeTime)
	defer stop()
	err := b.executor.remove(ctx, containers, nil)
	if b.network != "" {
		err = errors.Join(err, b.executor.remove(ctx, nil, []string{b.network}))
	}
	if b.private != "" {
		err = errors.Join(err, host.RemoveAll(b.private))
	}
	if err != nil {
		return fmt.Errorf("close place of task %s: %w", b.task, err)
	}
	return nil
}

func processors() int { return runtime.NumCPU() }
