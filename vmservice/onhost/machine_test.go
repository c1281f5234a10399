package onhost_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// A machine takes a job: it proves the key that was known before, its engine
// keeps layers by overlay2 and runs containers, its user may do what it likes.
func TestVMS08_MachineTakesAJob(t *testing.T) {
	d := open(t, config(t))
	m := create(t, d, "job")
	c := enter(t, m)
	wait(t, "its engine answers", func() bool { _, err := run(c, "docker version"); return err == nil })
	require.Equal(t, "overlay2", must(t, c, "docker info --format '{{.Driver}}'"))
	require.Equal(t, "running", must(t, c, "systemctl is-system-running --wait"))
	require.Equal(t, "root", must(t, c, "sudo -n id -un"))
	for _, tool := range []string{"git", "curl", "jq", "make", "python3", "unzip", "zstd", "docker-compose", "ip", "mkfs.ext4"} {
		must(t, c, "sudo which "+tool)
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("no busybox: install busybox-static")
	}
	s, err := c.NewSession()
	require.NoError(t, err)
	tar := exec.Command("tar", "-C", filepath.Dir(busybox), "-cf", "-", "busybox")
	s.Stdin, err = tar.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, tar.Start())
	out, err := s.CombinedOutput("docker import - busybox:1")
	require.NoError(t, err, "%s", out)
	require.NoError(t, tar.Wait())
	require.Equal(t, "hi", must(t, c, "docker run --rm busybox:1 /busybox echo hi"))
	require.Contains(t, must(t, c, "printf 'FROM busybox:1\\nRUN [\"/busybox\", \"touch\", \"/made\"]\\n' | docker build -q -"), "sha256:")

	// The console of systemd is not kept: a job can't fill the disk with it.
	must(t, c, "sudo sh -c 'head -c 1000000 /dev/zero >/dev/console'")
	out, err = os.ReadFile(logOf(t, m.ID))
	require.NoError(t, err)
	require.Less(t, len(out), 1000)
}

// logOf finds the log of a machine under the temporary folders of the test.
func logOf(t *testing.T, id string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), strings.ReplaceAll(t.Name(), "/", "")+"*", "*", "*", "*", "machines", id, "log"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// What one machine has written, no other finds: the image does not change.
func TestVMS10_NothingOfAMachineStays(t *testing.T) {
	d := open(t, config(t))
	first := enter(t, create(t, d, "first"))
	must(t, first, "sudo sh -c 'echo evil >/etc/evil; rm /usr/bin/git; echo evil >>/usr/bin/curl; sync'")
	m := create(t, d, "second")
	second := enter(t, m)
	must(t, second, "git --version && curl --version && ! test -e /etc/evil")
	require.NotEqual(t, m.HostKey, create(t, d, "first").HostKey)

	// A key that had its machine never gets a second one.
	require.NoError(t, d.Destroy(t.Context(), m.ID))
	again, err := d.Create(t.Context(), "second", forJob, boot(time.Hour))
	require.NoError(t, err)
	require.Equal(t, vmservice.MachineGone, again.State)
	require.Equal(t, "it was destroyed", again.Why)
	require.NoError(t, d.Age(m.ID))
	require.Empty(t, state(t, d, m.ID).ID, "it is not listed forever")
}

func TestVMS10_MachinesAtOnce(t *testing.T) {
	d := open(t, config(t))
	machines := make([]vmservice.Machine, 3)
	errs := make([]error, len(machines))
	var wg sync.WaitGroup
	for i := range machines {
		wg.Go(func() {
			machines[i], errs[i] = d.Create(t.Context(), fmt.Sprint("parallel ", i), forJob, boot(time.Hour))
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, m := range machines {
		require.NoError(t, errs[i])
		require.False(t, seen[m.Address], "an address twice")
		seen[m.Address] = true
		require.Equal(t, "circleci", must(t, enter(t, m), "id -un"))
	}
}

// A machine ends by itself, with nobody who asks; so does one whose job shuts it
// down, and one that somebody killed.
func TestVMS12_LifeEndsAMachine(t *testing.T) {
	d := open(t, config(t))
	short, err := d.Create(t.Context(), "short", forJob, boot(time.Second))
	require.NoError(t, err)
	off := create(t, d, "off")
	_, _ = run(enter(t, off), "sudo systemctl poweroff") // the line breaks
	again := create(t, d, "again")
	_, _ = run(enter(t, again), "sudo systemctl reboot")
	killed := create(t, d, "killed") // as a host that loses its power
	groups, err := filepath.Glob("/sys/fs/cgroup/*/rondo-*/" + killed.ID + "/cgroup.kill")
	require.NoError(t, err)
	unified, err := filepath.Glob("/sys/fs/cgroup/rondo-*/" + killed.ID + "/cgroup.kill")
	require.NoError(t, err)
	for _, file := range append(groups, unified...) {
		require.NoError(t, os.WriteFile(file, []byte("1"), 0))
	}
	for id, why := range map[string]string{
		short.ID: "its longest life was over", off.ID: "it shut itself down", again.ID: "a job restarted it", killed.ID: "without a word",
	} {
		wait(t, "machine ends: "+why, func() bool { return state(t, d, id).State == vmservice.MachineGone })
		require.Contains(t, state(t, d, id).Why, why)
	}
	require.Empty(t, d.Traces())
}

// What the machines of a class may use is bounded.
func TestVMS01_ClassesBound(t *testing.T) {
	cfg := config(t)
	cfg.DiskGB, cfg.Classes = 2, map[string]onhost.Class{"medium": {CPUs: 0.5, MemoryMB: 512}}
	d := open(t, cfg)
	c := enter(t, create(t, d, "small"))
	out, err := run(c, "python3 -c 'x = bytearray(900 << 20); print(len(x))'")
	require.Error(t, err, "more memory than the class has: %s", out)
	out, err = run(c, "sudo sh -c 'head -c 3000000000 /dev/zero >/big'")
	require.Error(t, err, "more disk than there is")
	require.Contains(t, out, "No space left")
}

func TestVMS01_BadCreates(t *testing.T) {
	cfg := config(t)
	d := open(t, cfg)
	for name, c := range map[string]struct {
		model vmservice.Model
		boot  func(*vmservice.Boot)
		says  string
	}{
		"private key":  {forJob, func(b *vmservice.Boot) { b.AuthorizedKey = me().key }, "is a private one"},
		"two keys":     {forJob, func(b *vmservice.Boot) { b.AuthorizedKey += "\n" + me().public }, "is no line of authorized_keys"},
		"path as user": {forJob, func(b *vmservice.Boot) { b.User = "../../x" }, "can't log in"},
		"root":         {forJob, func(b *vmservice.Boot) { b.User = "root" }, "can't log in"},
		"no such user": {forJob, func(b *vmservice.Boot) { b.User = "nobody-here" }, "has no user nobody-here"},
		"zone":         {forJob, func(b *vmservice.Boot) { b.Zone = "us-east-1a" }, "a host has no zones"},
		"arch":         {vmservice.Model{Kind: ci.MachineForJob, Arch: "s390x"}, func(*vmservice.Boot) {}, "machines of s390x are wanted"},
	} {
		b := boot(time.Hour)
		c.boot(&b)
		_, err := d.Create(t.Context(), name, c.model, b)
		require.ErrorContains(t, err, c.says, name)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
		require.NotContains(t, err.Error(), "PRIVATE")
	}
	all, err := d.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	require.NoError(t, d.Destroy(t.Context(), "../../etc"), "whatever that is, it is no machine")
}

// An image without the user of jobs is refused, before anything is made of it.
func TestVMS08_ImageWithoutUser(t *testing.T) {
	possible(t)
	dir := t.TempDir()
	cfg := onhost.Config{Dir: filepath.Join(dir, "machines"), Image: filepath.Join(dir, "image")}
	d := open(t, cfg)
	_, err := d.Create(t.Context(), "a", forJob, boot(time.Hour))
	require.ErrorContains(t, err, "rondo-server machines image --onhost "+cfg.Image)
	tree := filepath.Join(cfg.Image, "v1", "root", "etc")
	require.NoError(t, os.MkdirAll(tree, 0o755))
	require.NoError(t, os.Symlink("v1", filepath.Join(cfg.Image, "current")))
	_, err = d.Create(t.Context(), "a", forJob, boot(time.Hour))
	require.ErrorContains(t, err, "is not whole")
	arch, err := exec.Command("go", "env", "GOARCH").Output()
	require.NoError(t, err)
	manifest := fmt.Appendf(nil, `{"arch": %q}`, bytes.TrimSpace(arch))
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Image, "v1", "manifest.json"), manifest, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "passwd"), []byte("root:x:0:0::/root:/bin/sh\ncircleci2:x:1:1::/:/bin/sh\n"), 0o600))
	_, err = d.Create(t.Context(), "a", forJob, boot(time.Hour))
	require.ErrorContains(t, err, "has no user circleci")
	all, err := d.Check(t.Context())
	require.NoError(t, err)
	said := ""
	for _, a := range all {
		if a.Verdict == vmservice.VerdictBad {
			said += a.Setting + ": " + a.Text
		}
	}
	require.Contains(t, said, "onhost.image: ")
	require.Contains(t, said, "has no user circleci")
}

// A record that the disk has damaged hides nothing: the machine is listed, and
// ends as one that nobody knows.
func TestVMS10_DamagedRecords(t *testing.T) {
	cfg := config(t)
	d := open(t, cfg)
	m := create(t, d, "m")
	v, err := d.CreateVolume(t.Context(), "v", 1, "", nil)
	require.NoError(t, err)
	for _, pattern := range []string{"machines/" + m.ID + "/machine.json", "volumes/" + v.ID + "/volume.json"} {
		dirs, err := os.ReadDir(cfg.Dir)
		require.NoError(t, err)
		require.Len(t, dirs, 1)
		require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, dirs[0].Name(), pattern), []byte(`{"id":`), 0o600))
	}
	seen := state(t, d, m.ID)
	require.Equal(t, vmservice.MachineRunning, seen.State)
	require.Empty(t, seen.Key)
	_, err = d.Create(t.Context(), "m", forJob, boot(time.Hour))
	require.ErrorIs(t, err, ci.ErrConflict)
	_, err = d.CreateVolume(t.Context(), "v", 1, "", nil)
	require.ErrorIs(t, err, ci.ErrConflict)
	all, err := d.Volumes(t.Context())
	require.NoError(t, err)
	require.Equal(t, vmservice.VolumeBroken, all[0].State)
}

// A machine whose folder somebody has removed is listed, and can be ended.
func TestVMS12_LostFolders(t *testing.T) {
	cfg := config(t)
	d := open(t, cfg)
	m := create(t, d, "m")
	dirs, err := os.ReadDir(cfg.Dir)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(cfg.Dir, dirs[0].Name(), "machines", m.ID, "machine.json")))
	require.Equal(t, vmservice.MachineRunning, state(t, d, m.ID).State)
	require.NoError(t, os.Rename(cfg.Dir, cfg.Dir+" elsewhere"))
	seen := state(t, d, m.ID)
	require.Equal(t, vmservice.MachineRunning, seen.State)
	require.NotZero(t, seen.Created)
	require.Equal(t, map[string]string{vmservice.TagInstall: "test " + t.Name()}, seen.Tags)
	require.NoError(t, d.Destroy(t.Context(), m.ID))
	require.Empty(t, state(t, d, m.ID).ID)
	require.Empty(t, d.Traces())

	half := create(t, d, "half") // removed in part: the record is the first to go
	require.NoError(t, os.Remove(filepath.Join(cfg.Dir, dirs[0].Name(), "machines", half.ID, "machine.json")))
	require.NoError(t, d.Destroy(t.Context(), half.ID))
	require.Empty(t, state(t, d, half.ID).ID)
	left, err := os.ReadDir(filepath.Join(cfg.Dir, dirs[0].Name(), "machines"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// Only root can boot machines, and whoever is not is told what to do.
func TestVMS01_TakesRoot(t *testing.T) {
	if os.Getenv("RONDO_ONHOST_NOBODY") != "" {
		_, err := onhost.New("x", onhost.Config{})
		fmt.Println(err)
		return
	}
	if os.Geteuid() != 0 {
		_, err := onhost.New("x", onhost.Config{})
		require.ErrorIs(t, err, ci.ErrDenied)
		return
	}
	dir, err := os.MkdirTemp("", "rondo-onhost-") // that of the test is for root only
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "onhost.test"), program, 0o755))
	cmd := exec.Command(filepath.Join(dir, "onhost.test"), "-test.run=^TestVMS01_TakesRoot$", "-test.v")
	cmd.Env, cmd.Dir = append(os.Environ(), "RONDO_ONHOST_NOBODY=1"), dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "start it as root (User=root in its unit)")
}

// Check finds nothing bad where machines boot, and a range that is in use.
func TestVMS01_Check(t *testing.T) {
	if !alone(t) {
		return
	}
	cfg := config(t)
	for _, bad := range []bool{false, true} {
		if bad {
			cfg.Range = netip.MustParsePrefix("192.0.2.0/29")
		}
		all, err := open(t, cfg).Check(t.Context())
		require.NoError(t, err)
		found := ""
		for _, a := range all {
			if a.Verdict == vmservice.VerdictBad {
				found += a.Setting + " "
			}
		}
		require.Equal(t, map[bool]string{false: "", true: "onhost.range "}[bad], found, "%v", all)
	}
}
