package guest_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice"
)

// A box is as much of a machine as one can have without another kernel: a real
// sshd and a real dockerd in mounts and a network of their own. No systemd is in
// it.
type box struct {
	t       *testing.T
	pid     int
	ip      string
	machine vmservice.Machine
	access  vmservice.Access
}

// boxDaemon is how the engine of a box is started.
const boxDaemon = "dockerd --ip-masq=false --userland-proxy=false --exec-opt native.cgroupdriver=cgroupfs --log-level warn -H unix:///var/run/docker.sock"

// hold makes the folders that a machine has for itself, and waits for the end of
// the test.
const hold = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/etc/up /run/etc/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/up,workdir=/run/etc/work overlay /etc
mount -t tmpfs tmpfs /mnt
mount -t tmpfs tmpfs /var/lib
mkdir -p /etc/docker /var/lib/docker /home
mount -t tmpfs tmpfs /home
ip link set lo up
echo ready
exec cat >/dev/null`

// needs fails the test in CI, and skips it elsewhere, without a program.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("no %s: see .ci/run", program)
			}
			t.Skipf("no %s", program)
		}
	}
}

// startBox starts a box, or skips the test where the kernel allows none.
func startBox(t *testing.T) *box {
	t.Helper()
	needs(t, "sshd", "ssh-keygen", "dockerd", "docker", "iptables", "ip", "busybox", "mkfs.ext4", "losetup", "nsenter", "flock")
	if os.Geteuid() != 0 {
		t.Skip("a machine with a Docker engine of its own takes root")
	}
	holder := exec.Command("sh", "-c", hold)
	holder.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	in, err := holder.StdinPipe()
	require.NoError(t, err)
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	var errs bytes.Buffer
	holder.Stderr = &errs
	require.NoError(t, holder.Start())
	ready := make([]byte, 6)
	if n, _ := out.Read(ready); n == 0 {
		_ = holder.Wait()
		t.Skipf("this kernel gives no mounts and network of one's own: %s", errs.String())
	}
	b := &box{t: t, pid: holder.Process.Pid}
	t.Cleanup(func() {
		b.killAll()
		_ = in.Close()
		_ = holder.Wait()
	})
	b.connect()
	b.sshd()
	if err := b.dockerd(); err != nil {
		t.Skipf("no Docker engine can run here: %v", err)
	}
	return b
}

// connect gives the box a network of two addresses, one here and one there.
func (b *box) connect() {
	r := make([]byte, 3)
	_, _ = rand.Read(r)
	name := fmt.Sprintf("rg%x", r)
	net := fmt.Sprintf("198.19.%d.%d", r[0], r[1]&^3)
	here, there := net[:strings.LastIndex(net, ".")+1]+strconv.Itoa(int(r[1]&^3)+1), net[:strings.LastIndex(net, ".")+1]+strconv.Itoa(int(r[1]&^3)+2)
	for _, line := range []string{
		fmt.Sprintf("ip link add %s type veth peer name eth0 netns %d", name, b.pid),
		fmt.Sprintf("ip addr add %s/30 dev %s", here, name),
		fmt.Sprintf("ip link set %s up", name),
		fmt.Sprintf("nsenter -t %d -n ip addr add %s/30 dev eth0", b.pid, there),
		fmt.Sprintf("nsenter -t %d -n ip link set eth0 up", b.pid),
	} {
		if text, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			b.t.Skipf("this kernel makes no networks: %s: %s", line, text)
		}
	}
	b.t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() })
	b.ip = there
}

func (b *box) sshd() {
	dir := b.t.TempDir()
	require.NoError(b.t, os.Chmod(filepath.Dir(dir), 0o755))
	for _, name := range []string{"host", "user"} {
		text, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput()
		require.NoError(b.t, err, "%s", text)
	}
	config := fmt.Sprintf("ListenAddress %[2]s:22\nHostKey %[1]s/host\nAuthorizedKeysFile %[1]s/user.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n", dir, b.ip)
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600))
	b.run("$(command -v sshd) -f " + dir + "/config")
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	require.NoError(b.t, err)
	key, err := os.ReadFile(filepath.Join(dir, "user"))
	require.NoError(b.t, err)
	me, err := user.Current()
	require.NoError(b.t, err)
	b.machine = vmservice.Machine{ID: "box", Address: b.ip + ":22", HostKey: string(host)}
	b.access = vmservice.Access{User: me.Username, Key: string(key)}
}

// dockerd starts the engine, and tries whether it can run anything.
func (b *box) dockerd() error {
	b.run("setsid -f " + boxDaemon + " >/run/dockerd.log 2>&1 </dev/null")
	for until := time.Now().Add(30 * time.Second); ; {
		if _, err := b.try("docker version"); err == nil {
			break
		}
		if time.Now().After(until) {
			text, _ := b.try("tail -n 3 /run/dockerd.log")
			return fmt.Errorf("it does not answer: %s", text)
		}
	}
	if text, err := b.try("tar -C / -c bin/busybox | docker import -c 'ENTRYPOINT [\"/bin/busybox\"]' - probe:1 && docker run --rm probe:1 true"); err != nil {
		return fmt.Errorf("a container cannot be started: %s", text)
	}
	b.run("docker rmi -f probe:1")
	return nil
}

// try runs a shell command in the box.
func (b *box) try(command string) (string, error) {
	text, err := exec.Command("nsenter", "-t", strconv.Itoa(b.pid), "-n", "-m", "env", "-u", "DOCKER_HOST", "timeout", "60", "sh", "-c", command).CombinedOutput()
	return strings.TrimSpace(string(text)), err
}

func (b *box) run(command string) string {
	b.t.Helper()
	text, err := b.try(command)
	require.NoError(b.t, err, "%s: %s", command, text)
	return text
}

// processes are those of the box, but for the one that holds it.
func (b *box) processes() []int {
	mine, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", b.pid))
	all, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, p := range all {
		pid, _ := strconv.Atoi(filepath.Base(p))
		if ns, err := os.Readlink(p + "/ns/mnt"); err == nil && ns == mine && mine != "" && pid != b.pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (b *box) killAll() {
	_, _ = b.try("for c in $(docker ps -q); do docker rm -f $c; done")
	for range 5 { // some start others
		for _, pid := range b.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_, _ = b.try("umount -R /mnt/rondo-layers /var/lib/docker /var/lib/containerd")
}

// volume makes a device of that many MiB that all boxes see.
func volume(t *testing.T, mib int) string {
	t.Helper()
	needs(t, "losetup")
	if os.Geteuid() != 0 {
		t.Skip("a loop device takes root")
	}
	file := filepath.Join(t.TempDir(), "volume")
	f, err := os.Create(file)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(int64(mib)<<20))
	require.NoError(t, f.Close())
	out, err := exec.Command("losetup", "-f", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("this machine has no loop devices: %s", out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", device).Run() })
	return device
}
