package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// A hostSite is an installation whose machines are those of this host.
type hostSite struct {
	*site
	machines string // the folder of the machines
}

// newHostSite returns one that is not started, or skips the test with the
// reason where this host can have no machines.
func newHostSite(t *testing.T, config, more string) *hostSite {
	t.Helper()
	for _, tool := range []string{"docker", "busybox", "systemd-nspawn", "iptables", "losetup"} {
		needsTool(t, tool)
	}
	image := onhostImage(t)
	dir := serverDir(t)
	d, err := onhost.New("check", onhost.Config{Dir: dir, Image: image})
	if err != nil {
		t.Skipf("no machines on this host: %v", err)
	}
	found, err := d.Check(t.Context())
	require.NoError(t, err)
	for _, a := range found {
		if a.Verdict == vmservice.VerdictBad {
			t.Skipf("no machines on this host: %s: %s", a.Subject, a.Text)
		}
	}
	r := newRepo(t, config)
	h := &hostSite{newSite(t, r.dir), dir}
	h.more += fmt.Sprintf("machines:\n  provider: onhost\n  onhost: {dir: %q, image: %q, disk_gb: 4}\n  forecast: false\n  listen: %s\n  dlc: {size_gb: 2}\n%s", dir, image, freeAddress(t), more)
	t.Cleanup(func() {
		if t.Failed() { // whatever it was, nothing may stay
			h.wipe(image)
			return
		}
		h.left(t)
	})
	return h
}

// wipe ends the server of a test that has failed, and all that it has made.
func (h *hostSite) wipe(image string) {
	if h.s != nil {
		h.s.kill()
	}
	install, err := os.ReadFile(filepath.Join(h.data, "installation"))
	if err != nil {
		return // it has made nothing
	}
	ctx := context.Background()
	d, err := onhost.New(strings.TrimSpace(string(install)), onhost.Config{Dir: h.machines, Image: image})
	if err != nil {
		h.t.Log(err)
		return
	}
	all, err := d.List(ctx)
	for _, m := range all {
		err = errors.Join(err, d.Destroy(ctx, m.ID))
	}
	disks, more := d.Volumes(ctx)
	err = errors.Join(err, more)
	for _, v := range disks {
		err = errors.Join(err, d.Detach(ctx, v.ID, true), d.DestroyVolume(ctx, v.ID))
	}
	h.t.Log("ended what the test had made:", err)
}

// records are the machines that may exist, or with a query those that it asks
// for.
func (h *hostSite) records(query string) (all []vmservice.Record) {
	h.t.Helper()
	code, body := h.s.call("GET", "/api/v2/rondo/machines/vms"+query, "")
	require.Equal(h.t, http.StatusOK, code, body)
	var page struct{ Items []vmservice.Record }
	require.NoError(h.t, json.Unmarshal([]byte(body), &page))
	return page.Items
}

// ready waits until so many machines wait.
func (h *hostSite) ready(n int) {
	h.t.Helper()
	h.s.eventually("machines wait", func() bool {
		ready := 0
		for _, r := range h.records("") {
			if r.State == vmservice.Ready {
				ready++
			}
		}
		return ready >= n
	})
}

// said returns all that the job of that name has said.
func (h *hostSite) said(pipeline, name string) (text string, id string) {
	h.t.Helper()
	for _, j := range h.s.jobs(pipeline) {
		if j.Name != name {
			continue
		}
		for i := range h.s.steps(j.ID, 0) {
			text += h.s.log(j.ID, 0, i)
		}
		return text, j.ID
	}
	h.t.Fatalf("no job %s", name)
	return "", ""
}

// clear has everything ended that operators can have ended.
func (h *hostSite) clear() {
	h.t.Helper()
	code, body := h.s.call("POST", "/api/v2/rondo/machines/admin/drain", "")
	require.Equal(h.t, http.StatusOK, code, body)
	code, body = h.s.call("POST", "/api/v2/rondo/machines/admin/purge?project="+h.slug, "")
	require.Equal(h.t, http.StatusOK, code, body)
	h.s.eventually("vm list is empty", func() bool { return len(h.records("")) == 0 })
	h.s.eventually("dlc list is empty", func() bool {
		_, body := h.s.call("GET", "/api/v2/rondo/machines/volumes", "")
		return strings.Contains(body, `"items":[]`)
	})
}

// left fails the test for what the kernel still has of the machines: mounts,
// loop devices, processes, network devices.
func (h *hostSite) left(t *testing.T) {
	mounts, err := os.ReadFile("/proc/mounts")
	require.NoError(t, err)
	for line := range strings.SplitSeq(string(mounts), "\n") {
		require.NotContains(t, line, h.machines, "a mount is left")
	}
	loops, err := exec.Command("losetup", "--list", "--noheadings", "--output", "BACK-FILE").Output()
	require.NoError(t, err)
	require.NotContains(t, string(loops), h.machines, "a loop device is left")
	tags, err := os.ReadDir(h.machines) // of the installation, as its groups and rules are called
	require.NoError(t, err)
	rules, err := exec.Command("sh", "-c", "iptables -w -S; iptables -w -t nat -S").Output()
	require.NoError(t, err)
	for _, tag := range tags {
		require.NotContains(t, string(rules), tag.Name(), "a rule of the firewall is left")
		groups, err := filepath.Glob("/sys/fs/cgroup/*/rondo-" + tag.Name())
		require.NoError(t, err)
		require.Empty(t, groups, "a control group is left")
		links, err := filepath.Glob("/sys/class/net/rn" + tag.Name()[:4] + "*")
		require.NoError(t, err)
		require.Empty(t, links, "a network device is left")
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range all {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		line, _ := io.ReadAll(f)
		_ = f.Close()
		require.False(t, strings.Contains(string(line), h.machines) && !strings.Contains(string(line), "rondo-server"), "a process is left: %q", line)
	}
}

const onhostBuild = `
version: 2.1
jobs:
  build:
    docker: [{image: cimg/base:stable}]
    steps:
      - setup_remote_docker: {docker_layer_caching: true}
      - run:
          name: Build
          command: |
            mkdir image && cp "$(command -v busybox)" image/
            printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "echo slow layer > /made"]\n' > image/Dockerfile
            docker build -t shop image
            docker run --rm shop /bin/busybox cat /made
workflows: {main: {jobs: [build]}}
`

// first returns the pipeline of the commit that the site began with, when it has
// ended.
func (h *hostSite) first() string {
	h.t.Helper()
	h.s.eventually("the first pipeline", func() bool { return len(h.s.pipelines()) == 1 })
	id := h.s.pipelines()[0].ID
	h.s.eventually("its workflow", func() bool { return len(h.s.workflowStatuses(id)) == 1 })
	h.end(id)
	return id
}

// On machines of this host: remote Docker builds an image, the second build
// finds its layers on a machine that had waited for a job, machines end with
// their jobs, and nothing is left in the end.
func TestVMS07_VMS10_DLC01_DLC06_OnHostRemoteDocker(t *testing.T) {
	t.Parallel()
	h := newHostSite(t, onhostBuild, "  prealloc_remote_docker: 1\n")
	h.start()
	first := h.first()
	build, job := h.said(first, "build")
	require.Equal(t, []ci.Status{ci.Success}, h.s.workflowStatuses(first), "%s\n%s", build, h.s.errors())
	require.Contains(t, build, "Docker layer cache: fresh")
	require.Contains(t, build, "slow layer")
	require.NotContains(t, build, "Using cache")
	h.s.eventually("the job's machine is gone", func() bool { return len(h.records("?task="+job+".0")) == 1 })
	h.s.eventually("the volume is free again", func() bool {
		_, body := h.s.call("GET", "/api/v2/rondo/machines/volumes", "")
		return strings.Contains(body, `"state":"free"`)
	})
	h.ready(1)
	waited := map[string]bool{}
	for _, r := range h.records("") {
		waited[r.Key] = r.State == vmservice.Ready
	}
	second, _ := h.run()
	h.end(second)
	build, job = h.said(second, "build")
	require.Equal(t, []ci.Status{ci.Success}, h.s.workflowStatuses(second), build)
	require.Contains(t, build, "Docker layer cache: hit")
	require.Regexp(t, `Using cache|CACHED`, build)
	h.s.eventually("its machine is gone", func() bool { return len(h.records("?task="+job+".0")) == 1 })
	r := h.records("?task=" + job + ".0")[0]
	require.True(t, waited[r.Key], "layers came to a machine that had waited")
	require.Equal(t, vmservice.Gone, r.State)
	h.clear()
	h.finish()
}

// The server dies while a job builds, and again while machines end: everything
// ends, the books and the host agree, nothing is left.
func TestVMS12_DLC05_OnHostServerDies(t *testing.T) {
	t.Parallel()
	marks := serverDir(t)
	h := newHostSite(t, strings.ReplaceAll(onhostBuild, "docker run --rm", "echo > "+marks+"/building; sleep 20; docker run --rm"), "  prealloc_machine: 1\n")
	h.start()
	h.s.eventually("it builds", func() bool { _, err := os.Stat(marks + "/building"); return err == nil })
	h.s.kill()
	h.start()
	h.first()
	h.s.kill()
	h.start()
	h.clear()
	code, body := h.s.call("POST", "/api/v2/rondo/machines/admin/reset?dry_run=1", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `"items":[]`, "books and host agree")
	h.finish()
}

// onhostImage returns the image of these tests, which is made once for a user of
// this machine, and again when what makes it has changed.
func onhostImage(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("machines of this host take root")
	}
	needsTool(t, "mmdebstrap")
	recipe := sha256.New()
	for _, file := range []string{"image.go", "setup.sh"} {
		recipe.Write(mustRead(filepath.Join("../../vmservice/onhost", file)))
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "rondo-tests", fmt.Sprintf("onhost-serve-%.8x", recipe.Sum(nil)))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	held, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	if _, err := os.Stat(filepath.Join(dir, "current")); err == nil {
		return dir
	}
	cmd := machinesCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs([]string{"image", "--onhost", dir})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("make the image: %v\n%s", err, &out)
		}
		t.Skipf("no image of machines can be made here: %v", err)
	}
	require.Contains(t, out.String(), "user circleci")
	return dir
}
