package guest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/guest"
)

// Example refuses a machine of which no host key is known.
func Example() {
	err := guest.Visitor{}.Probe(context.Background(), vmservice.Machine{ID: "m1"}, vmservice.Access{})
	fmt.Println(err)
	// Output: probe: enter machine m1: its host key is not known: invalid
}

// sshd runs a real OpenSSH server whose docker command is the given script.
func sshd(t *testing.T, docker string) (vmservice.Machine, vmservice.Access) {
	t.Helper()
	program, err := exec.LookPath("sshd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no sshd: install openssh-server")
		}
		t.Skip("no sshd: install openssh-server")
	}
	dir := t.TempDir()
	for _, name := range []string{"host", "user"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"+docker+"\n"), 0o755))
	config := fmt.Sprintf("HostKey %[1]s/host\nAuthorizedKeysFile %[1]s/user.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nSetEnv PATH=%[1]s:/usr/bin:/bin\n", dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	if os.Geteuid() == 0 {
		require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	}
	go func() { // one sshd for each connection, as inetd would
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f, err := c.(*net.TCPConn).File()
			c.Close()
			if err != nil {
				return
			}
			cmd := exec.Command(program, "-i", "-f", filepath.Join(dir, "config"))
			cmd.Stdin, cmd.Stdout = f, f
			_ = cmd.Run()
			f.Close()
		}
	}()
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	require.NoError(t, err)
	key, err := os.ReadFile(filepath.Join(dir, "user"))
	require.NoError(t, err)
	me, err := user.Current()
	require.NoError(t, err)
	return vmservice.Machine{ID: "m1", Address: l.Addr().String(), HostKey: string(host)},
		vmservice.Access{User: me.Username, Key: string(key)}
}

func TestProbe(t *testing.T) {
	m, a := sshd(t, "echo 20.10")
	require.NoError(t, guest.Visitor{Free: 1 << 20}.Probe(t.Context(), m, a))
	err := guest.Visitor{Free: 1 << 60}.Probe(t.Context(), m, a)
	require.ErrorContains(t, err, "its disk has")
	err = guest.Visitor{Skew: -1e15}.Probe(t.Context(), m, a)
	require.ErrorContains(t, err, "its clock is off")
}

func TestProbeEngineAway(t *testing.T) {
	m, a := sshd(t, "exit 1")
	require.ErrorContains(t, guest.Visitor{}.Probe(t.Context(), m, a), "Docker engine does not answer")
}

func TestProbeOtherHost(t *testing.T) {
	m, a := sshd(t, "echo 20.10")
	other, _ := sshd(t, "echo 20.10")
	m.HostKey = other.HostKey
	require.ErrorIs(t, guest.Visitor{}.Probe(t.Context(), m, a), ci.ErrDenied)
}

func TestProbeOtherUser(t *testing.T) {
	m, a := sshd(t, "echo 20.10")
	_, other := sshd(t, "echo 20.10")
	a.Key = other.Key
	require.ErrorContains(t, guest.Visitor{}.Probe(t.Context(), m, a), "log in as")
}

func TestProbeGivesUpWithItsContext(t *testing.T) {
	m, a := sshd(t, "echo 20.10")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // takes the connection, and never says a word
		c, err := l.Accept()
		cancel()
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}()
	m.Address = l.Addr().String()
	require.ErrorIs(t, guest.Visitor{}.Probe(ctx, m, a), context.Canceled)
}
