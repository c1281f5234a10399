//go:build linux

// Package dockertest starts a private Docker engine for tests and makes images
// for it, since nothing can be pulled where tests run.
package dockertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// An Engine is a private dockerd. It lives in namespaces of network and mounts
// of its own, so that it changes nothing of the machine and everything of it
// ends with it.
type Engine struct {
	Host   string // its address
	Client *client.Client

	cmd  *exec.Cmd
	dir  string
	once sync.Once
}

// Start starts an engine, or skips the test with the reason where the machine
// allows none: it takes root, dockerd, and a kernel that lets it make networks
// and mounts. The engine ends with the test.
func Start(t testing.TB) *Engine {
	t.Helper()
	e, err := Open()
	if err != nil {
		t.Skipf("no Docker engine can run here: %v", err)
	}
	t.Cleanup(e.Stop)
	return e
}

// Open starts an engine; whoever calls it calls Stop.
func Open() (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("not root")
	}
	for _, program := range []string{"dockerd", "docker", "iptables", "ip", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "rondo-dockerd-")
	if err != nil {
		return nil, err
	}
	e := &Engine{Host: "unix://" + dir + "/docker.sock", dir: dir}
	if err := e.run(); err != nil {
		e.Stop()
		return nil, err
	}
	return e, nil
}

// run starts the daemon and waits until it answers.
func (e *Engine) run() error {
	log, err := os.Create(filepath.Join(e.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	e.cmd = exec.Command("sh", "-c", `ip link set lo up; exec "$0" "$@"`, "dockerd", "--data-root", e.dir+"/data", "--exec-root", e.dir+"/exec",
		"--pidfile", e.dir+"/pid", "--host", e.Host, "--config-file", e.dir+"/none.json", "--ip-masq=false", "--userland-proxy=false",
		"--bip", Gateway+"/16", "--exec-opt", "native.cgroupdriver=cgroupfs", "--log-level", "warn", "--insecure-registry", "127.0.0.0/8")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	// Its containerd is in its group, and does not outlive the tests.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := os.WriteFile(e.dir+"/none.json", []byte("{}"), 0o600); err != nil {
		return err
	}
	if err := e.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _ = e.cmd.Wait(); close(ended) }()
	if e.Client, err = client.New(client.WithHost(e.Host)); err != nil {
		return err
	}
	limit := time.After(30 * time.Second)
	for {
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		_, err := e.Client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
		stop()
		if err == nil {
			return e.works()
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(filepath.Join(e.dir, "log"))
			return fmt.Errorf("dockerd ended: %s", last(string(text)))
		case <-limit:
			text, _ := os.ReadFile(filepath.Join(e.dir, "log"))
			return fmt.Errorf("dockerd does not answer: %s", last(string(text)))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// works proves that a container can be made and started: some sandboxes let
// the daemon run and nothing else.
func (e *Engine) works() error {
	if err := e.Import("rondo-probe:1", Busybox()); err != nil {
		return err
	}
	out, err := exec.Command("docker", "-H", e.Host, "run", "--rm", "rondo-probe:1", "/bin/true").CombinedOutput()
	if err != nil {
		return fmt.Errorf("a container cannot be started: %s", last(string(out)))
	}
	return nil
}

// last returns the end of a text.
func last(text string) string {
	text = strings.TrimSpace(text)
	return text[max(0, len(text)-600):]
}

// Stop ends the engine and everything that it has changed on the machine.
// Twice is allowed.
func (e *Engine) Stop() {
	e.once.Do(func() {
		if e.cmd != nil && e.cmd.Process != nil {
			e.removeAll()
			pid := e.cmd.Process.Pid
			_ = syscall.Kill(pid, syscall.SIGTERM)
			for i := 0; i < 200 && syscall.Kill(pid, 0) == nil; i++ {
				time.Sleep(50 * time.Millisecond)
			}
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
		_ = os.RemoveAll(e.dir)
	})
}

// removeAll removes containers and networks, as the daemon would leave them.
func (e *Engine) removeAll() {
	if e.Client == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	if all, err := e.Client.ContainerList(ctx, client.ContainerListOptions{All: true}); err == nil {
		for _, c := range all.Items {
			_, _ = e.Client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		}
	}
	_, _ = e.Client.NetworkPrune(ctx, client.NetworkPruneOptions{})
}

// Tool builds a static executable that is nothing but the agent's tool in the
// folder, unless it is there, and returns its path.
func Tool(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "circleci")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", "build", "-o", path, "github.com/rondo-ci/rondo/ci/agent/docker/dockertest/tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// Listen listens at 127.0.0.1 where the engine does.
func (e *Engine) Listen() (net.Listener, error) { return e.ListenAt("127.0.0.1:0") }

// Gateway is the address of the engine's side of its usual network, which
// containers reach.
const Gateway = "172.17.0.1"

// ListenAt is Listen at another address, as that of [Gateway].
func (e *Engine) ListenAt(address string) (net.Listener, error) {
	type result struct {
		l   net.Listener
		err error
	}
	c := make(chan result)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", e.cmd.Process.Pid))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		var l net.Listener
		if err == nil {
			l, err = net.Listen("tcp", address)
		}
		c <- result{l, err}
	}()
	r := <-c
	return r.l, r.err
}
