package onhost_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
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

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/onhost"
)

var forJob = vmservice.Model{Kind: ci.MachineForJob, Class: "medium"}

// possible skips where no machine can boot: that takes root and a Linux that
// lets it. A missing program fails where everything should be installed.
func possible(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("machines on this host need Linux and root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("this kernel has no loop devices")
	}
	if why := allowed(); why != "" {
		t.Skip(why)
	}
	d, err := onhost.New("check", onhost.Config{Image: "/nonexistent"})
	require.NoError(t, err)
	all, err := d.Check(t.Context())
	require.NoError(t, err)
	for _, a := range all {
		if a.Verdict == vmservice.VerdictBad && !strings.HasPrefix(a.Subject, "image") {
			if strings.HasPrefix(a.Subject, "program") && os.Getenv("CI") == "true" {
				t.Fatal(a.Text)
			}
			t.Skip(a.Text)
		}
	}
}

// allowed says why the kernel or the sandbox that we are in lets nobody make what
// machines are made of; "" if it does. It asks without our code.
var allowed = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "rondo-onhost-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	const script = `set -e
mount --make-rprivate /; mount -t proc proc /proc; mkdir d l r
truncate -s 64M f; mkfs.ext4 -q f; mount -o loop f d; mkdir d/u d/w
mount -t overlay -o lowerdir=l,upperdir=d/u,workdir=d/w o r
ip link add rondoprobe type veth peer name rondoprobe2; iptables -w -S`
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		for _, name := range []string{"unshare", "mkfs.ext4", "ip", "iptables"} {
			if _, err := exec.LookPath(name); err != nil {
				return "" // the check of programs says so
			}
		}
		return fmt.Sprintf("no machine can run here: %s", bytes.TrimSpace(out))
	}
	return ""
})

// image returns an image that is made once for a user of this machine.
func image(t testing.TB) string {
	t.Helper()
	possible(t)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "rondo-tests", "onhost-"+onhost.Recipe())
	require.NoError(t, os.MkdirAll(dir, 0o755))
	held, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	if _, err := os.Stat(filepath.Join(dir, "current")); err == nil {
		return dir
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no mmdebstrap: install it")
		}
		t.Skip("no mmdebstrap: install it")
	}
	var said bytes.Buffer
	if _, err := onhost.BuildImage(context.Background(), dir, onhost.ImageConfig{}, &said); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("build the image: %v", err)
		}
		t.Skipf("the image cannot be built here: %v", err)
	}
	return dir
}

// config is for a folder of the test, which has a blank in its name.
func config(t testing.TB) onhost.Config {
	t.Helper()
	return onhost.Config{Dir: filepath.Join(t.TempDir(), "with blank, and: more"), Image: image(t), DiskGB: 4}
}

// open returns a driver whose machines end with the test.
func open(t testing.TB, cfg onhost.Config) *onhost.Driver {
	t.Helper()
	d, err := onhost.New("test "+t.Name(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { clear(t, d) })
	return d
}

// clear ends all that there is and requires that nothing is left.
func clear(t testing.TB, d *onhost.Driver) {
	ctx := context.WithoutCancel(t.Context())
	volumes, err := d.Volumes(ctx)
	require.NoError(t, err)
	machines, err := d.List(ctx)
	require.NoError(t, err)
	for _, m := range machines {
		require.NoError(t, d.Destroy(ctx, m.ID))
	}
	for _, v := range volumes {
		require.NoError(t, d.DestroyVolume(ctx, v.ID))
	}
	_, err = d.List(ctx)
	require.NoError(t, err)
	require.Empty(t, d.Traces())
	out, err := exec.Command("sh", "-c", "iptables -w -S; iptables -w -t nat -S").CombinedOutput()
	require.NoError(t, err)
	require.NotContains(t, string(out), d.Chains())
}

// A login is a key pair.
type login struct {
	public string
	signer ssh.Signer
	key    string
}

var me = sync.OnceValue(func() login {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		panic(err)
	}
	sshKey, err := ssh.NewPublicKey(public)
	if err != nil {
		panic(err)
	}
	return login{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshKey))), signer, string(pem.EncodeToMemory(block))}
})

func boot(life time.Duration) vmservice.Boot {
	return vmservice.Boot{User: "circleci", AuthorizedKey: me().public, Life: life}
}

// create boots a machine.
func create(t testing.TB, d *onhost.Driver, key string) vmservice.Machine {
	t.Helper()
	m, err := d.Create(t.Context(), key, forJob, boot(time.Hour))
	require.NoError(t, err)
	require.Equal(t, vmservice.MachineRunning, m.State)
	return m
}

// enter logs in to a machine, as soon as that can be.
func enter(t testing.TB, m vmservice.Machine) *ssh.Client {
	t.Helper()
	host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(m.HostKey))
	require.NoError(t, err)
	cfg := &ssh.ClientConfig{User: "circleci", Auth: []ssh.AuthMethod{ssh.PublicKeys(me().signer)}, HostKeyCallback: ssh.FixedHostKey(host), Timeout: 5 * time.Second}
	for limit := time.Now().Add(time.Minute); ; {
		c, err := ssh.Dial("tcp", m.Address, cfg)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if time.Now().After(limit) {
			require.NoError(t, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// run runs a command in a machine and returns what it prints.
func run(c *ssh.Client, command string) (string, error) {
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	out, err := s.CombinedOutput(command)
	return strings.TrimSpace(string(out)), err
}

func must(t testing.TB, c *ssh.Client, command string) string {
	t.Helper()
	out, err := run(c, command)
	require.NoError(t, err, "%s: %s", command, out)
	return out
}

// wait asks until it is so.
func wait(t testing.TB, what string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			require.FailNow(t, what)
		}
	}
}

// state returns that of a machine, as it is listed.
func state(t testing.TB, d *onhost.Driver, id string) vmservice.Machine {
	t.Helper()
	all, err := d.List(t.Context())
	require.NoError(t, err)
	for _, m := range all {
		if m.ID == id {
			return m
		}
	}
	return vmservice.Machine{}
}

// listen serves one word at an address of the host.
func listen(t testing.TB, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("word\n"))
			c.Close()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}
