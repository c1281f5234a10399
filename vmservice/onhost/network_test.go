package onhost_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// alone runs a test in a network of its own, so that it changes nothing of the
// host's and nobody changes its own: the uplink is 192.0.2.2, and behind it, in
// the namespace "behind", is 192.0.2.1. It is false where it has been run so.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv("RONDO_ONHOST_ALONE") != "" {
		return true
	}
	image(t)
	const script = `set -e
mount --make-rprivate /; mount -t tmpfs rondo /run; ip link set lo up; ip netns add behind
ip link add up0 type veth peer name eth0 netns behind; ip addr add 192.0.2.2/24 dev up0; ip link set up0 up
ip -n behind addr add 192.0.2.1/24 dev eth0; ip -n behind link set eth0 up
ip route add default via 192.0.2.1; exec "$0" -test.v -test.run="^$1$"`
	cmd := exec.Command("unshare", "--mount", "--net", "sh", "-c", script, os.Args[0], t.Name())
	cmd.Env = append(os.Environ(), "RONDO_ONHOST_ALONE=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "%s", out)
	return false
}

// reach is a program that says whether a TCP server answers.
const reach = `sudo python3 -c '
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
    print("reached")
except OSError as e:
    print("refused", e)
' `

// Root in a machine reaches no other machine, no service of the host by whatever
// address, no metadata service; and the network of the host it does.
func TestVMS10_MachinesReachNobody(t *testing.T) {
	if !alone(t) {
		return
	}
	d := open(t, config(t))
	m, other := create(t, d, "one"), create(t, d, "other")
	c := enter(t, m)
	enter(t, other)
	const address = "192.0.2.2"
	port := listen(t, ":0")
	host, _, err := net.SplitHostPort(other.Address)
	require.NoError(t, err)
	gateway := must(t, c, "ip route show default | cut -d' ' -f3")
	behind(t)
	for name, target := range map[string]string{
		"another machine's SSH": host + " 22", "the host": address + " " + port, "the gateway": gateway + " " + port,
		"the gateway of another": netip.MustParseAddr(host).Prev().String() + " " + port,
		"metadata":               "169.254.169.254 80",
	} {
		require.Contains(t, must(t, c, reach+target), "refused", name)
	}
	// The host's loopback device is not the machine's, not even with a route.
	must(t, c, "sudo ip route add 127.1.2.3/32 via "+gateway+" 2>/dev/null || :")
	require.Contains(t, must(t, c, reach+"127.1.2.3 "+port), "refused")
	// Nor is there a way around by IPv6, or under another's address.
	devices, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range devices {
		if addresses, err := i.Addrs(); err == nil && strings.HasPrefix(i.Name, "rn") {
			require.Len(t, addresses, 1, "the host's side of a machine has one address, of IPv4")
		}
	}
	must(t, c, "sudo ip addr add "+other.Address[:strings.Index(other.Address, ":")]+"/32 dev eth0")
	require.Contains(t, must(t, c, strings.Replace(reach, "2)", "2, ("+`"`+host+`"`+", 0))", 1)+address+" "+port), "refused")

}

// behind serves the address of who asks, in the network behind the uplink, where
// clouds have their metadata as well.
func behind(t *testing.T) {
	t.Helper()
	require.NoError(t, exec.Command("ip", "-n", "behind", "addr", "add", "169.254.169.254/32", "dev", "eth0").Run())
	server := exec.Command("ip", "netns", "exec", "behind", "python3", "-u", "-c",
		"import socket\ns = socket.create_server((\"\", 80))\nwhile True:\n    c, a = s.accept()\n    c.sendall(a[0].encode())\n    c.close()\n")
	require.NoError(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for _, address := range []string{"192.0.2.1:80", "169.254.169.254:80"} {
		wait(t, address+" answers the host", func() bool {
			c, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
}

// A machine reaches a network behind the host under the host's address, and
// none where that was switched off. Forwarding is as it was when the last
// machine is gone.
func TestVMS10_Outside(t *testing.T) {
	if !alone(t) {
		return
	}
	forwarding := func() string {
		out, err := exec.Command("cat", "/proc/sys/net/ipv4/conf/up0/forwarding", "/proc/sys/net/ipv4/ip_forward").CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Equal(t, "0\n0\n", forwarding())
	behind(t)
	const ask = `timeout 5 bash -c 'cat </dev/tcp/192.0.2.1/80'`
	d := open(t, config(t))
	m := create(t, d, "nat")
	require.Equal(t, "192.0.2.2", must(t, enter(t, m), ask), "under the address of the host")

	require.Equal(t, "1\n0\n", forwarding(), "of the uplink, and of nothing else")

	// Who knows the way from there does not reach a machine.
	require.NoError(t, exec.Command("ip", "-n", "behind", "route", "add", "198.18.0.0/15", "via", "192.0.2.2").Run())
	into := strings.Replace(m.Address, ":", "/", 1)
	require.NoError(t, exec.Command("timeout", "5", "bash", "-c", "true </dev/tcp/"+into).Run(), "the host does")
	require.Error(t, exec.Command("ip", "netns", "exec", "behind", "timeout", "5", "bash", "-c", "true </dev/tcp/"+into).Run())

	cfg := config(t)
	cfg.Outside = onhost.Nowhere
	closed, err := onhost.New("closed", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { clear(t, closed) })
	c := enter(t, create(t, closed, "closed"))
	_, err = run(c, ask)
	require.Error(t, err)
	gateway, _, _ := net.SplitHostPort(state(t, closed, create(t, closed, "closed").ID).Address)
	must(t, c, "sudo ip route add default via "+netip.MustParseAddr(gateway).Prev().String()) // root may try
	_, err = run(c, ask)
	require.Error(t, err)

	clear(t, closed)
	clear(t, d)
	require.Equal(t, "0\n0\n", forwarding())
}
