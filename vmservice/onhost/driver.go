package onhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// A Driver boots machines on this host and keeps volumes there. It implements
// [vmservice.Driver], [vmservice.Volumes] and [vmservice.Checker]. All methods
// are safe for concurrent use, also by several processes.
type Driver struct {
	install string
	cfg     Config
	home    string // the folder of the installation in cfg.Dir
	tag     string // names what is the installation's in the kernel
	step    func(string)
}

// keepGone is how long a machine that has ended is listed, and its key refused
// a second one.
const keepGone = 10 * time.Minute

// New returns a driver for the machines of one installation, which install
// names: at most 100 characters, the same for all of its servers and no other.
// It takes root, and is [ci.ErrDenied] without. Nothing is made yet.
func New(install string, cfg Config) (*Driver, error) {
	wrong := cfg.Check()
	if install == "" || len(install) > 100 {
		wrong = errors.Join(wrong, fmt.Errorf("the name of the installation has 1 to 100 characters: %w", ci.ErrInvalid))
	}
	if wrong != nil {
		return nil, fmt.Errorf("machines on this host: %w", wrong)
	}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("machines on this host: they need Linux, and this is %s: %w", runtime.GOOS, ci.ErrInvalid)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("machines on this host: only root can boot them, and the server is user %d: "+
			"start it as root (User=root in its unit), or take another provider: %w", os.Geteuid(), ci.ErrDenied)
	}
	cfg = cfg.filled()
	tag := digest(install)[:8]
	return &Driver{install: install, cfg: cfg, home: filepath.Join(cfg.Dir, tag), tag: tag, step: func(string) {}}, nil
}

// digest returns 64 hexadecimal digits.
func digest(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(sum, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Create implements [vmservice.Driver]. It returns when the machine's disk and
// network are there and its init begins, within about a second.
func (d *Driver) Create(ctx context.Context, key string, m vmservice.Model, b vmservice.Boot) (vmservice.Machine, error) {
	op := "create machine " + key
	if err := ctx.Err(); err != nil {
		return vmservice.Machine{}, fmt.Errorf("%s: %w", op, err)
	}
	r, err := d.draft(key, m, b)
	if err != nil {
		return vmservice.Machine{}, fmt.Errorf("%s: %w", op, err)
	}
	dir := d.machineDir(r.ID)
	if !exists(dir) {
		if err := d.place(dir, r); err != nil {
			return vmservice.Machine{}, explain(op, err)
		}
	}
	d.step("placed")
	held, err := lock(ctx, dir, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return vmservice.Machine{}, explain(op, errors.New("another call could not boot it, or has destroyed it"))
	} else if err != nil {
		return vmservice.Machine{}, explain(op, err)
	}
	defer held.Close()
	s, err := d.look(r.ID)
	if err != nil {
		return vmservice.Machine{}, explain(op, err)
	}
	if s.record.Key != key {
		return vmservice.Machine{}, explain(op, fmt.Errorf("what is written down in %s is damaged: destroy machine %s first: %w", dir, r.ID, ci.ErrConflict))
	}
	if s.started || s.ended != "" {
		return s.machine(), nil
	}
	if err := d.boot(ctx, s.record); err != nil {
		clean, cancel := undoing(ctx)
		defer cancel()
		undone := d.end(clean, r.ID)
		if undone == nil {
			undone = os.RemoveAll(dir)
		}
		return vmservice.Machine{}, explain(op, errors.Join(err, undone, d.tidyNetwork(clean)))
	}
	d.step("booted")
	if s, err = d.look(r.ID); err != nil {
		return vmservice.Machine{}, explain(op, err)
	}
	d.cfg.Log.Info("machine booted", "machine", r.ID, "key", key, "address", s.address)
	return s.machine(), nil
}

// undoing is a context for taking back what was begun, also when the caller has
// no time left.
func undoing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}

// List implements [vmservice.Driver]. Machines that have ended are listed for
// ten minutes more. What a machine or a server that died has left is cleared
// away.
func (d *Driver) List(ctx context.Context) ([]vmservice.Machine, error) {
	ids, err := d.ids(ctx, "machines")
	if err != nil {
		return nil, explain("list machines", err)
	}
	var all []vmservice.Machine
	alive := 0
	lost, err := d.lost(ctx)
	if err != nil {
		return nil, explain("list machines", err)
	}
	all = append(all, lost...)
	alive += len(lost)
	for _, id := range ids {
		s, err := d.look(id)
		if errors.Is(err, fs.ErrNotExist) {
			if alive, err := d.alive(id); err == nil && !alive { // it was being removed
				if err := abandoned(d.machineDir(id)); err != nil {
					d.cfg.Log.Warn("clear away a machine", "machine", id, "err", err)
				}
			}
			continue
		}
		if err != nil {
			return nil, explain("list machines", err)
		}
		m := s.machine()
		if m.State == vmservice.MachineGone {
			forget, err := d.bury(ctx, s)
			if err != nil {
				d.cfg.Log.Warn("clear away a machine", "machine", id, "err", err)
			}
			if forget {
				continue
			}
		} else {
			alive++
		}
		all = append(all, m)
	}
	if alive == 0 {
		if err := d.tidyNetwork(ctx); err != nil {
			d.cfg.Log.Warn("take back rules of the firewall", "err", err)
		}
	}
	return all, ctx.Err()
}

// lost returns the machines that run though somebody has removed their records,
// and removes what is left of such that have ended. They have no key.
func (d *Driver) lost(ctx context.Context) ([]vmservice.Machine, error) {
	g, err := d.group("")
	if err != nil {
		return nil, nil // without control groups nothing runs; making machines will say so
	}
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var all []vmservice.Machine
	for _, e := range entries {
		id := e.Name()
		if !idForm.MatchString(id) || exists(filepath.Join(d.machineDir(id), fileRecord)) {
			continue
		}
		if alive, err := d.alive(id); err != nil || !alive {
			if err := d.stop(ctx, id); err != nil {
				d.cfg.Log.Warn("clear away a machine", "machine", id, "err", err)
			}
			continue
		}
		m := vmservice.Machine{ID: id, State: vmservice.MachineRunning, Tags: map[string]string{vmservice.TagInstall: d.install}}
		if info, err := e.Info(); err == nil {
			m.Created = info.ModTime().UTC()
		}
		all = append(all, m)
	}
	return all, nil
}

// Destroy implements [vmservice.Driver]. The machine is killed, not shut down:
// nothing of it is kept. Its volumes are free afterwards.
func (d *Driver) Destroy(ctx context.Context, id string) error {
	op := "destroy machine " + id
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if !idForm.MatchString(id) || id[0] != 'm' {
		return nil // no machine has such an ID
	}
	if err := d.kill(ctx, id, "it was destroyed"); err != nil {
		return explain(op, err)
	}
	d.step("killed")
	if err := d.freeVolumes(ctx, id); err != nil {
		return explain(op, err)
	}
	d.step("freed")
	if err := d.tidyNetwork(ctx); err != nil {
		return explain(op, err)
	}
	return nil
}

// kill ends a machine, for the first reason that anybody gave. One that is not
// there is no error.
func (d *Driver) kill(ctx context.Context, id, why string) error {
	dir := d.machineDir(id)
	held, err := lock(ctx, dir, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return d.stop(ctx, id) // somebody has removed the folder
	} else if err != nil {
		return err
	}
	defer held.Close()
	if !exists(filepath.Join(dir, fileEnded)) {
		if err := write(filepath.Join(dir, fileEnded), []byte(why+"\n"), 0o600); err != nil {
			d.cfg.Log.Warn("note why a machine ends", "machine", id, "err", err) // it ends all the same
		}
	}
	d.step("ending")
	return d.end(ctx, id)
}

// end ends all processes of a machine and removes what was made for it, but
// for the record. The caller holds the lock of its folder.
func (d *Driver) end(ctx context.Context, id string) error {
	if err := d.stop(ctx, id); err != nil {
		return err
	}
	d.step("stopped")
	for _, name := range []string{fileDisk, fileSeed} {
		if err := os.RemoveAll(filepath.Join(d.machineDir(id), name)); err != nil {
			return err
		}
	}
	return nil
}

// stop ends all processes of a machine, and what the kernel has for it.
func (d *Driver) stop(ctx context.Context, id string) error {
	g, err := d.group(id)
	if err != nil {
		return err
	}
	if err := g.kill(ctx); err != nil {
		return err
	}
	d.step("dead")
	if err := d.unlink(ctx, id); err != nil {
		return err
	}
	d.step("unlinked")
	return g.remove(ctx)
}

// bury clears away what is left of a machine that has ended, and its record
// when nobody needs to see it any more.
func (d *Driver) bury(ctx context.Context, s state) (forgotten bool, err error) {
	dir := d.machineDir(s.record.ID)
	old := time.Since(s.changed) > keepGone
	g, err := d.group(s.record.ID)
	if err != nil || !old && !exists(filepath.Join(dir, fileDisk)) && !exists(filepath.Join(dir, fileSeed)) && !exists(g.dir) {
		return false, err
	}
	if err := d.kill(ctx, s.record.ID, s.why()); err != nil {
		return false, err
	}
	if err := d.freeVolumes(ctx, s.record.ID); err != nil || !old {
		return false, err
	}
	return true, os.RemoveAll(dir)
}

// ids returns the names in one of the folders of the installation, and removes
// drafts that nobody has finished.
func (d *Driver) ids(ctx context.Context, folder string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(d.home, folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if idForm.MatchString(e.Name()) {
			ids = append(ids, e.Name())
			continue
		}
		if err := abandoned(filepath.Join(d.home, folder, e.Name())); err != nil {
			d.cfg.Log.Warn("remove an unfinished draft", "name", e.Name(), "err", err)
		}
	}
	slices.Sort(ids)
	return ids, nil
}
