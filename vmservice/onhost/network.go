package onhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An ends is the two addresses of a machine's own little network.
type ends struct {
	gateway netip.Addr // the host
	machine netip.Addr
}

// runDir holds what all installations of a host share until it restarts.
const runDir = "/run/rondo-onhost"

// prefix begins the names of the network devices of the installation on the
// host's side.
func (d *Driver) prefix() string { return "rn" + d.tag[:4] }

// device returns that of a machine, 14 characters of the 15 that there may be.
func (d *Driver) device(id string) string { return d.prefix() + strings.TrimPrefix(id, "m-")[:8] }

// lockNetwork locks the addresses and rules of all installations of the host.
func lockNetwork(ctx context.Context) (*os.File, error) {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, err
	}
	return lock(ctx, filepath.Join(runDir, "lock"), os.O_CREATE|os.O_RDWR)
}

// claimAddress chooses the addresses of a machine and writes them down. They
// are taken for good once [Driver.link] has given them to the device: what the
// kernel has is what is taken.
func (d *Driver) claimAddress(ctx context.Context, id string) (ends, error) {
	held, err := lockNetwork(ctx)
	if err != nil {
		return ends{}, err
	}
	defer held.Close()
	return d.chooseAddress(id, filepath.Join(d.machineDir(id), fileAddress))
}

func (d *Driver) chooseAddress(id, file string) (ends, error) {
	taken, err := d.takenAddresses()
	if err != nil {
		return ends{}, err
	}
	slots := uint32(1) << (30 - d.cfg.Range.Bits())
	first := binary.BigEndian.Uint32(d.cfg.Range.Addr().AsSlice())
	h := fnv.New32a()
	h.Write([]byte(id)) // what was free just now is not the next to be used
	for i := range slots {
		base := first + (h.Sum32()+i)%slots*4
		e := ends{number(base + 1), number(base + 2)}
		if slices.ContainsFunc(taken, func(p netip.Prefix) bool { return p.Overlaps(netip.PrefixFrom(number(base), 30)) }) {
			continue
		}
		return e, write(file, []byte(e.machine.String()+"\n"), 0o600)
	}
	return ends{}, full("addresses", "all %d networks of onhost.range %s are taken: give it a larger one", slots, d.cfg.Range)
}

func number(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// takenAddresses returns the networks of all devices of the host, and those that
// machines which are being made just now have chosen.
func (d *Driver) takenAddresses() ([]netip.Prefix, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var taken []netip.Prefix
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			taken = append(taken, p.Masked())
		}
	}
	files, err := filepath.Glob(filepath.Join(globbed(d.cfg.Dir), "*", "machines", "*", fileAddress))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		if exists(filepath.Join(dir, fileEnded)) {
			continue
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if a, err := netip.ParseAddr(strings.TrimSpace(string(text))); err == nil {
			taken = append(taken, netip.PrefixFrom(a, 32))
		}
	}
	return taken, nil
}

// globbed returns a path as a pattern that only it matches.
func globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// link joins the host with the network of a keeper, and sets the rules.
func (d *Driver) link(ctx context.Context, id string, e ends, keeper int) error {
	held, err := lockNetwork(ctx)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := d.setRules(ctx); err != nil {
		return err
	}
	d.step("rules")
	mtu := "1500"
	uplinks, err := uplinks()
	if err != nil {
		return err
	}
	for _, u := range uplinks { // a larger one would make packets that get lost
		if i, err := net.InterfaceByName(u); err == nil && i.MTU < 1500 && i.MTU >= 576 {
			mtu = strconv.Itoa(i.MTU)
		}
	}
	name := d.device(id)
	if _, err := tool(ctx, "", "ip", "link", "add", name, "mtu", mtu, "type", "veth", "peer", "name", "eth0", "mtu", mtu, "netns", strconv.Itoa(keeper)); err != nil {
		return err
	}
	for file, value := range map[string]string{
		"ipv6/conf/" + name + "/disable_ipv6": "1", // no way around the rules, which are for IPv4
		"ipv4/conf/" + name + "/rp_filter":    "1", // nor under another's address
		"ipv4/conf/" + name + "/forwarding":   forwarding(d.cfg.Outside),
	} {
		err := os.WriteFile(filepath.Join("/proc/sys/net", file), []byte(value), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return fmt.Errorf("set %s: %w", file, err)
		}
	}
	if _, err := tool(ctx, "", "ip", "addr", "add", e.gateway.String()+"/30", "dev", name); err != nil {
		return err
	}
	_, err = tool(ctx, "", "ip", "link", "set", name, "up")
	return err
}

func forwarding(o Outside) string {
	if o == Nowhere {
		return "0"
	}
	return "1"
}

// unlink removes the network device of a machine.
func (d *Driver) unlink(ctx context.Context, id string) error {
	name := d.device(id)
	if _, err := net.InterfaceByName(name); err != nil {
		return nil // it went with the machine
	}
	_, err := tool(ctx, "", "ip", "link", "delete", name)
	if _, there := net.InterfaceByName(name); err != nil && there == nil {
		return err
	}
	return nil
}

// links returns the network devices of the host whose names begin so.
func links(prefix string) ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range all {
		if strings.HasPrefix(i.Name, prefix) {
			names = append(names, i.Name)
		}
	}
	return names, nil
}

// uplinks returns the devices by which the host reaches the outside.
func uplinks() ([]string, error) {
	text, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	var names []string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text()) // Iface Destination Gateway Flags RefCnt Use Metric Mask
		if len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" && !slices.Contains(names, f[0]) {
			names = append(names, f[0])
		}
	}
	return names, nil
}

// resolvers returns the servers of names that machines can use: those of the
// host, but for one on its loopback device, which only tells others of them.
func resolvers() ([]netip.Addr, error) {
	var found []netip.Addr
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			f := strings.Fields(lines.Text())
			if len(f) < 2 || f[0] != "nameserver" {
				continue
			}
			if a, err := netip.ParseAddr(f[1]); err == nil && a.Is4() && !a.IsLoopback() && !slices.Contains(found, a) {
				found = append(found, a)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	return found[:min(len(found), 3)], nil // a resolver asks no more
}
