package onhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/vmservice"
)

// check collects what is seen.
type check struct {
	*Driver
	found []vmservice.Advice
}

func (c *check) add(subject string, v vmservice.Verdict, setting, format string, args ...any) {
	c.found = append(c.found, vmservice.Advice{Subject: subject, Verdict: v, Setting: setting, Text: fmt.Sprintf(format, args...)})
}

// fault adds what an error says, or what is good about there being none.
func (c *check) fault(subject, setting string, err error, good string) {
	if err == nil {
		c.add(subject, vmservice.VerdictGood, "", "%s", good)
		return
	}
	var f *vmservice.Fault
	if errors.As(err, &f) && f.Setting != "" {
		setting = f.Setting
	}
	c.add(subject, vmservice.VerdictBad, setting, "%s", err)
}

// Check finds out, without making anything, whether machines will boot: the
// kernel, the programs, the image, the disk, the addresses.
func (d *Driver) Check(ctx context.Context) ([]vmservice.Advice, error) {
	c := &check{Driver: d}
	c.kernel(ctx)
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		if builds[name] {
			continue // only for making an image
		}
		if _, err := toolPath(name); err != nil {
			c.fault("program "+name, "onhost", err, "")
		}
	}
	image, err := d.image(user)
	good := ""
	if m, e := readManifest(image); err == nil && e == nil {
		good = fmt.Sprintf("%s, docker %s, of %s", m.OS, m.Packages["docker.io"], m.Built.Format("2006-01-02"))
	}
	c.fault("image "+d.cfg.Image, "onhost.image", err, good)
	c.disk()
	c.network()
	c.add("isolation", vmservice.VerdictWarn, "", "machines share the kernel of this host: whoever is root in one, and every job is, and means ill, can get at the host; "+
		"run the code of people here who may be root on it, and take another provider for strangers' pull requests")
	return c.found, ctx.Err()
}

// kernel judges what the kernel can do.
func (c *check) kernel(ctx context.Context) {
	release := kernelVersion()
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || major < 5 || major == 5 && minor < 14 {
		c.add("kernel", vmservice.VerdictBad, "onhost", "is %s, and must be 5.14 or newer: machines are ended by cgroup.kill", release)
	} else {
		c.add("kernel", vmservice.VerdictGood, "", "%s", release)
	}
	text, err := os.ReadFile("/proc/filesystems")
	for _, name := range []string{"overlay", "ext4"} {
		if err != nil || !slices.Contains(strings.Fields(string(text)), name) {
			c.add("file system "+name, vmservice.VerdictWarn, "onhost", "the kernel has it not loaded: modprobe %s, and name it in /etc/modules", name)
		}
	}
	loops, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	c.fault("loop devices", "onhost", err, "can be made")
	if err == nil {
		loops.Close()
	}
	g, err := c.group("m-0000000000000000")
	if err != nil {
		c.fault("control groups", "onhost", err, "")
		return
	}
	can, err := os.ReadFile(filepath.Join(g.root, "cgroup.controllers"))
	for _, name := range controllers {
		if g.old[name] == "" && (err != nil || !slices.Contains(strings.Fields(string(can)), name)) {
			verdict := vmservice.VerdictWarn
			for _, k := range c.cfg.Classes {
				if k.CPUs > 0 && name == "cpu" || k.MemoryMB > 0 && name == "memory" {
					verdict = vmservice.VerdictBad
				}
			}
			c.add("control groups", verdict, "onhost.classes", "this host cannot bound %s of machines", name)
		}
	}
	if _, err := tool(ctx, "", "iptables", "-w", "-t", "nat", "-S", "POSTROUTING"); err != nil {
		c.fault("firewall", "onhost", err, "")
	}
}

// disk judges what room there is, and what has been promised of it.
func (c *check) disk() {
	dir := c.cfg.Dir
	for !exists(dir) && dir != "/" {
		dir = filepath.Dir(dir)
	}
	left, all, err := free(dir)
	switch {
	case err != nil:
		c.fault("disk", "onhost.dir", err, "")
	case left < minFree:
		c.add("disk", vmservice.VerdictBad, "onhost.dir", "%s has %d MiB left, and %d are kept for the host", dir, left>>20, minFree>>20)
	case left < int64(c.cfg.DiskGB)<<30:
		c.add("disk", vmservice.VerdictWarn, "onhost.disk_gb", "%s has %d GiB left, and one machine may write %d: it takes what it writes, until the disk is full", dir, left>>30, c.cfg.DiskGB)
	default:
		c.add("disk", vmservice.VerdictGood, "", "%s has %d of %d GiB left; machines take what they write, up to %d each", dir, left>>30, all>>30, c.cfg.DiskGB)
	}
}

// network judges the addresses and the way to the outside.
func (c *check) network() {
	devices, err := net.Interfaces()
	if err != nil {
		c.fault("network", "onhost.range", err, "")
		return
	}
	taken := false
	for _, i := range devices {
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Overlaps(c.cfg.Range) && !strings.HasPrefix(i.Name, "rn") {
				taken = true
				c.add("range", vmservice.VerdictBad, "onhost.range", "%s is also in the network %s of device %s: choose another", c.cfg.Range, p.Masked(), i.Name)
			}
		}
	}
	if !taken {
		c.add("range", vmservice.VerdictGood, "", "%s, for %d machines", c.cfg.Range, 1<<(30-c.cfg.Range.Bits()))
	}
	if c.cfg.Outside == Nowhere {
		return
	}
	names, err := resolvers()
	if err == nil && len(names) == 0 {
		c.add("names", vmservice.VerdictWarn, "", "the host asks no server of names that machines could ask as well (only IPv4, and not on the loopback device): machines will find no hosts by name")
	}
	ways, err := uplinks()
	if err == nil && len(ways) == 0 {
		c.add("outside", vmservice.VerdictWarn, "onhost.outside", "the host has no default route: machines will reach nothing; write none if that is meant")
	}
}
