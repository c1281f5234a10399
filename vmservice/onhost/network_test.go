package onhost_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// hostAddress is one of the host that others can reach.
func hostAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && p.Bits() != 30 {
			return p.Addr().String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
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
	d := open(t, config(t))
	m, other := create(t, d, "one"), create(t, d, "other")
	c := enter(t, m)
	enter(t, other)
	address := hostAddress(t)
	port := listen(t, ":0")
	host, _, err := net.SplitHostPort(other.Address)
	require.NoError(t, err)
	gateway := must(t, c, "ip route show default | cut -d' ' -f3")
	metadata(t)
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
	require.Empty(t, must(t, c, "ip -6 neigh show dev eth0; ping -6 -c1 -W1 ff02::1%eth0 2>/dev/null | grep 'bytes from' | grep -v fe80 || :"))
	must(t, c, "sudo ip addr add "+other.Address[:strings.Index(other.Address, ":")]+"/32 dev eth0")
	require.Contains(t, must(t, c, strings.Replace(reach, "2)", "2, ("+`"`+host+`"`+", 0))", 1)+address+" "+port), "refused")

	// What is no machine's and no host's own can be reached, as the host would.
	must(t, c, "ip route get 192.0.2.77")
}

// metadata puts a server where clouds have theirs, on this host.
func metadata(t *testing.T) {
	t.Helper()
	out, err := exec.Command("ip", "addr", "add", "169.254.169.254/32", "dev", "lo").CombinedOutput()
	if err != nil && !strings.Contains(string(out), "File exists") {
		t.Skipf("no address for a metadata service: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "addr", "del", "169.254.169.254/32", "dev", "lo").Run() })
	l, err := net.Listen("tcp", "169.254.169.254:80")
	if err != nil {
		t.Skipf("no metadata service: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err, "the host itself reaches it")
	c.Close()
}

// A machine reaches a network behind the host under the host's address, and
// none where that was switched off. Forwarding is as it was when the last
// machine is gone.
func TestVMS10_Outside(t *testing.T) {
	possible(t)
	sh := func(script string) string {
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	forwarding := "cat $(ip -4 route show default | sed -n 's|.* dev \\([^ ]*\\).*|/proc/sys/net/ipv4/conf/\\1/forwarding|p') /proc/sys/net/ipv4/ip_forward"
	before := sh(forwarding)
	// A network behind the host, on a device that is no default route: what goes
	// there is left to the host's own rules.
	sh("ip netns add rondo-behind; ip link add rondo-behind type veth peer name eth0 netns rondo-behind; ip addr add 192.0.2.201/30 dev rondo-behind; " +
		"ip link set rondo-behind up; ip -n rondo-behind addr add 192.0.2.202/30 dev eth0; ip -n rondo-behind link set eth0 up")
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", "rondo-behind").Run() })
	server := exec.Command("ip", "netns", "exec", "rondo-behind", "python3", "-u", "-c",
		"import socket\ns = socket.create_server((\"192.0.2.202\", 80))\nwhile True:\n    c, a = s.accept()\n    c.sendall(a[0].encode())\n    c.close()\n")
	require.NoError(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/conf/rondo-behind/forwarding", []byte("1"), 0))

	const ask = `timeout 5 bash -c 'cat </dev/tcp/192.0.2.202/80'`
	wait(t, "the network behind answers the host", func() bool { return exec.Command("bash", "-c", ask).Run() == nil })
	d := open(t, config(t))
	m := create(t, d, "nat")
	require.Equal(t, "192.0.2.201", must(t, enter(t, m), ask), "under the address of the host")

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
	require.Equal(t, before, sh(forwarding))
}
