package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/docker/warden"
	"github.com/rondo-ci/rondo/ci/agent/place"
	"golang.org/x/sync/errgroup"
)

// Where the agent's things are in the primary container.
const (
	inner     = "/.rondo"
	innerTool = inner + "/circleci"
	innerDoor = inner + "/door"
	innerTask = inner + "/task"
)

// preserve is the label of images whose own command runs beside the steps.
const preserve = "com.circleci.preserve-entrypoint"

// linkLocal is where clouds tell machines who they are and what they may do.
var linkLocal = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fd00:ec2::/32"),
}

// opening is a place that is being made.
type opening struct {
	*box
	work   ci.Work
	out    io.Writer
	limits Limits
	images []image.InspectResponse
	door   *net.UnixListener
}

// Open implements [place.Executor]. Jobs of other kinds are [ci.ErrInvalid].
func (e *Executor) Open(ctx context.Context, w ci.Work, out io.Writer) (place.Place, error) {
	x := w.Job.Executor
	if x.Kind != ci.ExecutorDocker || len(x.Images) == 0 {
		return nil, invalid("a job of the executor %q does not run in a container", x.Kind)
	}
	o := &opening{box: &box{executor: e, task: string(w.Lease.Task), epoch: w.Lease.Epoch}, work: w, out: out}
	err := o.open(ctx)
	if o.door != nil {
		_ = o.door.Close()
	}
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o.box, nil
}

func (o *opening) open(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.executor.cfg.Limits != nil {
		var err error
		if o.limits, err = o.executor.cfg.Limits(o.work.Job); err != nil {
			return err
		}
		o.memory = o.limits.Memory
	}
	for _, i := range o.work.Job.Executor.Images {
		found, err := o.executor.find(ctx, i, o.work.Environment, o.out)
		if err != nil {
			return err
		}
		o.images = append(o.images, found)
	}
	if err := o.folder(); err != nil {
		return err
	}
	ctx, stop := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("docker engine %s: no answer for %v", o.executor.cfg.Host, startTime))
	defer stop()
	if err := o.primary(ctx); err != nil {
		return err
	}
	if err := o.look(); err != nil {
		return err
	}
	if err := o.services(ctx); err != nil {
		return err
	}
	return o.command()
}

// hostName is what a name of a container may look like: it becomes a line of
// /etc/hosts.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$`)

func (o *opening) check() error {
	for _, i := range o.work.Job.Executor.Images {
		if i.Name != "" && !hostName.MatchString(i.Name) {
			return invalid("image %s: name %q is no host name", i.Image, i.Name)
		}
		for _, v := range i.Environment {
			if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.ContainsRune(v.Value, 0) {
				return invalid("image %s: %q is no name of a variable", i.Image, v.Name)
			}
		}
	}
	return nil
}

// folder makes the task's folder on this machine, and the socket in it. The
// socket is made by way of a descriptor, because its path may be too long.
func (o *opening) folder() error {
	if err := os.MkdirAll(o.executor.cfg.Dir, 0o755); err != nil {
		return err
	}
	var err error
	if o.private, err = os.MkdirTemp(o.executor.cfg.Dir, "docker-"); err != nil {
		return err
	}
	door := filepath.Join(o.private, "door")
	if err := os.Mkdir(door, 0o700); err != nil {
		return err
	}
	at, err := os.Open(door)
	if err != nil {
		return err
	}
	defer at.Close()
	o.door, err = net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/agent", at.Fd()), Net: "unix"})
	if o.door != nil {
		o.door.SetUnlinkOnClose(false) // the folder goes as a whole
	}
	return err
}

// primary makes the network and the primary container, and meets its warden.
func (o *opening) primary(ctx context.Context) error {
	e := o.executor
	network, err := e.engine.NetworkCreate(ctx, o.name(), client.NetworkCreateOptions{Driver: "bridge", Labels: o.labels()})
	if err != nil {
		return fmt.Errorf("make the task's network: %w", err)
	}
	o.network = network.ID
	cfg := &container.Config{
		Image: o.images[0].ID, User: "0:0", Labels: o.labels(), WorkingDir: "/",
		Entrypoint:  []string{innerTool, warden.Verb, innerDoor + "/agent"},
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	hc := o.hostConfig()
	hc.NetworkMode = container.NetworkMode(network.ID)
	hc.LogConfig = container.LogConfig{Type: "none"}
	hc.Mounts = []mount.Mount{
		{Type: mount.TypeBind, Source: e.cfg.Tool, Target: innerTool, ReadOnly: true},
		{Type: mount.TypeBind, Source: filepath.Join(o.private, "door"), Target: innerDoor, ReadOnly: true},
	}
	for _, i := range o.work.Job.Executor.Images {
		if i.Name != "" {
			hc.ExtraHosts = append(hc.ExtraHosts, i.Name+":127.0.0.1")
		}
	}
	id, err := o.start(ctx, o.name(), cfg, hc)
	if err != nil {
		return startError(o.work.Job.Executor.Images[0].Image, err)
	}
	o.id = id
	state, err := e.engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	if state.Container.State == nil || state.Container.State.Pid <= 0 {
		return fmt.Errorf("start image %s: its first process ended at once", o.work.Job.Executor.Images[0].Image)
	}
	pid := state.Container.State.Pid
	if o.view, err = openView(pid); err != nil {
		return err
	}
	if err := o.view.forbid(slices.Concat(linkLocal, e.cfg.Deny)); err != nil {
		return err
	}
	_ = o.door.SetDeadline(time.Now().Add(startTime))
	if o.warden, err = warden.Accept(o.door, pid); err != nil {
		return fmt.Errorf("meet the container's first process: %w", err)
	}
	return nil
}

// startError tells an image that cannot be started from an engine that cannot
// start anything.
func startError(image string, err error) error {
	for _, mark := range []string{"setup user", "exec format error", "no matching manifest"} {
		if strings.Contains(err.Error(), mark) {
			return invalid("start image %s: %v", image, err)
		}
	}
	return fmt.Errorf("start image %s: %w", image, err)
}

// startTime is how long an engine may take to start what a task needs, once
// the images are there, and then the container's first process to call.
const startTime = 2 * time.Minute

// hostConfig is what all containers of the task have in common. It names what
// jobs get; nothing of a job's configuration is passed through.
func (o *opening) hostConfig() *container.HostConfig {
	off := false
	r := container.Resources{Memory: o.limits.Memory, MemorySwap: o.limits.Memory, PidsLimit: &o.executor.cfg.Processes}
	// An engine refuses more processors than it has.
	if n := o.limits.CPUs; n > 0 && n < float64(processors()) {
		r.NanoCPUs = int64(n * 1e9)
	}
	return &container.HostConfig{Init: &off, Resources: r}
}

// start makes a container and starts it. What was made is remembered first.
func (o *opening) start(ctx context.Context, name string, cfg *container.Config, hc *container.HostConfig) (string, error) {
	made, err := o.executor.engine.ContainerCreate(ctx, client.ContainerCreateOptions{Name: name, Config: cfg, HostConfig: hc})
	if err != nil {
		return "", err
	}
	o.mu.Lock()
	o.containers = append(o.containers, made.ID)
	o.mu.Unlock()
	_, err = o.executor.engine.ContainerStart(ctx, made.ID, client.ContainerStartOptions{})
	return made.ID, err
}

// services starts the other containers, in the network of the primary.
func (o *opening) services(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for n, i := range o.work.Job.Executor.Images {
		if n == 0 {
			continue
		}
		g.Go(func() error {
			cfg := &container.Config{
				Image: o.images[n].ID, User: i.User, Labels: o.labels(), Entrypoint: i.Entrypoint, Cmd: i.Command,
				Env: list(i.Environment),
			}
			hc := o.hostConfig()
			hc.NetworkMode = container.NetworkMode("container:" + o.id)
			hc.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "1"}}
			if _, err := o.start(ctx, o.name()+"-"+strconv.Itoa(n), cfg, hc); err != nil {
				// What a service is told to run is the job's word.
				return invalid("start service container %s: %v", i.Image, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// list returns variables as NAME=value.
func list(vars []ci.Var) []string {
	var out []string
	for _, v := range vars {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}

// look finds out who steps run as and what they see, and makes the scratch
// folder.
func (o *opening) look() error {
	first, config := o.work.Job.Executor.Images[0], o.images[0].Config
	user := first.User
	var env []string
	if config != nil {
		env = config.Env
		if user == "" {
			user = config.User
		}
	}
	shell := []string{"/bin/sh", "-eo", "pipefail", "-c"}
	var err error
	gone := o.view.within(account{}, func() {
		if o.as, err = lookUp("/etc", user); err != nil {
			return
		}
		if _, none := os.Stat("/bin/bash"); none == nil {
			shell[0] = "/bin/bash"
		}
		if err = os.Mkdir(innerTask, 0o755); err == nil {
			err = os.Chown(innerTask, int(o.as.uid), int(o.as.gid))
		}
	})
	if err = errors.Join(gone, err); err != nil {
		return err
	}
	o.layout = place.Layout{
		Home: o.as.home, Scratch: innerTask, Private: o.private, Tool: innerTool, Shell: shell,
		Apart: true, Notes: o.notes(),
	}
	o.environ(env)
	return o.home()
}

// home makes the home directory and the default working directory, as the
// images of CircleCI have them, where the user of an image cannot.
func (o *opening) home() error {
	var err error
	gone := o.view.within(account{}, func() {
		for _, dir := range []string{o.layout.Home, filepath.Join(o.layout.Home, "project")} {
			if _, none := os.Stat(dir); none == nil {
				continue
			}
			if err = os.MkdirAll(dir, 0o755); err == nil {
				err = os.Lchown(dir, int(o.as.uid), int(o.as.gid))
			}
			if err != nil {
				err = invalid("home directory of the image's user: %v", err)
				return
			}
		}
	})
	return errors.Join(gone, err)
}

// environ lays out what every step starts with: what the image says, and what
// it has to say and does not.
func (o *opening) environ(env []string) {
	set := map[string]string{}
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			set[name] = value
		}
	}
	if set["PATH"] == "" {
		set["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	if home := set["HOME"]; filepath.IsAbs(home) {
		o.layout.Home = filepath.Clean(home)
	}
	set["HOME"] = o.layout.Home
	for name, value := range set {
		o.layout.Environ = append(o.layout.Environ, name+"="+value)
	}
	slices.Sort(o.layout.Environ)
}

// notes says what the job runs in.
func (o *opening) notes() []string {
	lines := []string{fmt.Sprintf("Steps run in a container as user %d:%d.", o.as.uid, o.as.gid)}
	if o.limits.CPUs > 0 || o.limits.Memory > 0 {
		lines[0] = fmt.Sprintf("Steps run in a container as user %d:%d, with %g CPUs and %d MB of memory.", o.as.uid, o.as.gid, o.limits.CPUs, o.limits.Memory>>20)
	}
	for n, i := range o.work.Job.Executor.Images {
		kind := "Image"
		if n > 0 {
			kind = "Service"
		}
		lines = append(lines, fmt.Sprintf("%s: %s", kind, describe(i.Image, o.images[n])))
	}
	return lines
}

// command starts the primary's own command beside the steps, if the job names
// one or the image insists.
func (o *opening) command() error {
	i, c := o.work.Job.Executor.Images[0], o.images[0].Config
	entrypoint, args := i.Entrypoint, i.Command
	if len(entrypoint) == 0 && c != nil && (len(args) > 0 || c.Labels[preserve] == "true") {
		entrypoint = c.Entrypoint
		if len(args) == 0 {
			args = c.Cmd
		}
	}
	line := slices.Concat(entrypoint, args)
	if len(line) == 0 {
		return nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	dir := "/"
	if c != nil && c.WorkingDir != "" {
		dir = c.WorkingDir
	}
	env := slices.Concat(o.layout.Environ, list(i.Environment))
	if _, err := o.Start(place.Command{Args: line, Env: env, Dir: dir, Output: null}); err != nil {
		return invalid("image %s: its command: %v", i.Image, err)
	}
	return nil
}
