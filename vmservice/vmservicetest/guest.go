package vmservicetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// A Guest is a [vmservice.Guest] without machines: it remembers what was
// mounted where. The zero Guest works. It is safe for concurrent use.
type Guest struct {
	mu      sync.Mutex
	script  func(op, machine string) error
	disks   map[string]*disk  // by device
	mounted map[string]string // machine -> device
}

type disk struct {
	owner  string
	layers vmservice.Layers
	users  []string // owners, in order
}

// SetScript lets s be asked before each call ("probe", "serve docker", "mount",
// "unmount") with the machine's ID; an error is what the call returns.
func (g *Guest) SetScript(s func(op, machine string) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.script = s
}

func (g *Guest) ask(ctx context.Context, op, machine string, a vmservice.Access) error {
	g.mu.Lock()
	script := g.script
	g.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s: %w", op, machine, ctx.Err())
	case a.Key == "" || a.User == "":
		return fmt.Errorf("%s %s: no way in: %w", op, machine, ci.ErrDenied)
	case script != nil:
		return script(op, machine)
	}
	return nil
}

// Probe is that of [vmservice.Guest].
func (g *Guest) Probe(ctx context.Context, m vmservice.Machine, a vmservice.Access) error {
	return g.ask(ctx, "probe", m.ID, a)
}

// ServeDocker is that of [vmservice.Guest].
func (g *Guest) ServeDocker(ctx context.Context, m vmservice.Machine, a vmservice.Access) (ci.DockerAccess, error) {
	if err := g.ask(ctx, "serve docker", m.ID, a); err != nil {
		return ci.DockerAccess{}, err
	}
	return ci.DockerAccess{Host: "tcp://" + m.ID + ":2376", CA: "ca of " + m.ID, Cert: "cert of " + m.ID, Key: "key of " + m.ID}, nil
}

// Mount is that of [vmservice.Guest]. A disk that was used by owner before has
// one image more each time.
func (g *Guest) Mount(ctx context.Context, m vmservice.Machine, a vmservice.Access, device, owner string) (vmservice.Layers, error) {
	if err := g.ask(ctx, "mount", m.ID, a); err != nil {
		return vmservice.Layers{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.disks == nil {
		g.disks, g.mounted = map[string]*disk{}, map[string]string{}
	}
	d := g.disks[device]
	if d == nil {
		d = &disk{}
		g.disks[device] = d
	}
	fresh := d.owner != owner
	if fresh {
		d.owner, d.layers = owner, vmservice.Layers{Engine: "20.10"}
	}
	d.users = append(d.users, owner)
	g.mounted[m.ID] = device
	out := d.layers
	out.Fresh = fresh
	return out, nil
}

// Unmount is that of [vmservice.Guest].
func (g *Guest) Unmount(ctx context.Context, m vmservice.Machine, a vmservice.Access) (vmservice.Layers, error) {
	if err := g.ask(ctx, "unmount", m.ID, a); err != nil {
		return vmservice.Layers{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.disks[g.mounted[m.ID]]
	delete(g.mounted, m.ID)
	if d == nil {
		return vmservice.Layers{}, nil
	}
	d.layers.Images++
	d.layers.Bytes += 100 << 20
	return d.layers, nil
}

// Gone forgets a machine that has ended, and with it what it had mounted.
func (g *Guest) Gone(machine string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.mounted, machine)
}

// Owners returns who has used the disk at a device, in order.
func (g *Guest) Owners(device string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.disks[device]; d != nil {
		return slices.Clone(d.users)
	}
	return nil
}

var _ vmservice.Guest = (*Guest)(nil)
