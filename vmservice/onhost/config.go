package onhost

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Config says where machines are kept and how large they are. The zero Config
// works. Errors name its fields as the settings do, given here in brackets.
type Config struct {
	// Dir keeps machines and volumes; "" is /var/lib/rondo-machines. Other
	// installations may share it. [onhost.dir]
	Dir string
	// Image is the folder that [BuildImage] filled; "" is Dir/image.
	// [onhost.image]
	Image string
	// Kind says what a machine is; "" is Container. [onhost.kind]
	Kind Kind
	// Range is where machines get their addresses from, four for each; the zero
	// one is 198.18.64.0/18, which no public host has. [onhost.range]
	Range netip.Prefix
	// Outside says how machines reach the networks of the host; "" is NAT.
	// [onhost.outside]
	Outside Outside
	// Classes bound machines by their resource class. One that has no line here
	// is not bound. [onhost.classes]
	Classes map[string]Class
	// DiskGB is how much a machine can write; 0 is 20. Nothing is taken before
	// it is written. [onhost.disk_gb]
	DiskGB int
	// Log receives what people should know; nil is silent.
	Log *slog.Logger
}

// A Class bounds the machines of a resource class. 0 is no bound.
type Class struct {
	CPUs     float64 // [cpus]
	MemoryMB int     // [memory_mb]
}

// A Kind says what a machine is.
type Kind string

// The kinds of machines.
const Container Kind = "container" // systemd-nspawn: shares the kernel of the host

// An Outside says how machines reach the networks of the host.
type Outside string

// The ways to the outside.
const (
	NAT     Outside = "nat"    // under the address of the host
	Routed  Outside = "routed" // under their own: the routers of the network must know Range
	Nowhere Outside = "none"   // not at all
)

const (
	defaultDir   = "/var/lib/rondo-machines"
	defaultRange = "198.18.64.0/18"
	defaultDisk  = 20
	maxDiskGB    = 16 << 10 // of ext4 with blocks of 4 KiB
)

// Check returns what is wrong with the settings without looking at the host: all
// of it, each as an error that begins with the name of a setting and wraps
// [ci.ErrInvalid]. [Driver.Check] looks.
func (c Config) Check() error {
	var wrong []error
	bad := func(setting, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("onhost.%s %s: %w", setting, fmt.Sprintf(format, args...), ci.ErrInvalid))
	}
	for setting, dir := range map[string]string{"dir": c.Dir, "image": c.Image} {
		if dir != "" && (!filepath.IsAbs(dir) || strings.ContainsAny(dir, "\x00\n")) {
			bad(setting, "%.80q is no absolute path: write one such as %s", dir, defaultDir)
		}
	}
	if c.Kind != "" && c.Kind != Container {
		bad("kind", "%.40q is not %s, which is all there is", c.Kind, Container)
	}
	if c.Range != (netip.Prefix{}) {
		switch {
		case !c.Range.IsValid() || !c.Range.Addr().Is4() || c.Range.Masked() != c.Range:
			bad("range", "is %s: write a network of IPv4 such as %s", c.Range, defaultRange)
		case c.Range.Bits() < 8 || c.Range.Bits() > 29:
			bad("range", "is %s: it needs a prefix from /8 to /29, as a machine takes four addresses", c.Range)
		case c.Range.Addr().IsLoopback() || c.Range.Addr().IsLinkLocalUnicast() || c.Range.Addr().IsMulticast():
			bad("range", "is %s, where no host can be: take %s", c.Range, defaultRange)
		}
	}
	if !slices.Contains([]Outside{"", NAT, Routed, Nowhere}, c.Outside) {
		bad("outside", "%.40q is none of %s, %s, %s", c.Outside, NAT, Routed, Nowhere)
	}
	if c.DiskGB != 0 && (c.DiskGB < 2 || c.DiskGB > maxDiskGB) {
		bad("disk_gb", "is %d: it can be 2 to %d", c.DiskGB, maxDiskGB)
	}
	for name, k := range c.Classes {
		if !(k.CPUs >= 0 && k.CPUs <= 4096) || k.CPUs > 0 && k.CPUs < 0.01 {
			bad("classes."+name+".cpus", "is %g: it can be 0.01 to 4096, or 0 for no bound", k.CPUs)
		}
		if k.MemoryMB < 0 || k.MemoryMB > 0 && k.MemoryMB < 128 || k.MemoryMB > 64<<20 {
			bad("classes."+name+".memory_mb", "is %d: a machine with Docker needs 128 at least, and 0 is no bound", k.MemoryMB)
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

func (c Config) filled() Config {
	c.Dir = filepath.Clean(cmp.Or(c.Dir, defaultDir))
	c.Image = filepath.Clean(cmp.Or(c.Image, filepath.Join(c.Dir, "image")))
	c.Kind = cmp.Or(c.Kind, Container)
	c.Outside = cmp.Or(c.Outside, NAT)
	c.DiskGB = cmp.Or(c.DiskGB, defaultDisk)
	if c.Range == (netip.Prefix{}) {
		c.Range = netip.MustParsePrefix(defaultRange)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// userForm is what the name of a user may look like: it becomes the name of a
// file.
var userForm = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
