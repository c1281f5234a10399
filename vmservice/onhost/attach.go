package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// patience is how long a machine may take to let go of a volume that nobody
// uses any more.
const patience = 5 * time.Second

// node is the name of a volume in the /dev of its machine.
func node(volume string) string { return "rondo-" + volume }

// Attach implements [vmservice.Volumes]: the volume becomes a loop device of the
// host, which the machine is allowed to use.
func (d *Driver) Attach(ctx context.Context, volume, machine string) (string, error) {
	op := fmt.Sprintf("attach volume %s to machine %s", volume, machine)
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	if !idForm.MatchString(volume) || volume[0] != 'v' || !idForm.MatchString(machine) || machine[0] != 'm' {
		return "", fmt.Errorf("%s: there are none of these names: %w", op, ci.ErrNotFound)
	}
	held, err := lock(ctx, d.volumeDir(volume), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: there is no such volume: %w", op, ci.ErrNotFound)
	} else if err != nil {
		return "", explain(op, err)
	}
	defer held.Close()
	v, err := d.volume(volume)
	if err != nil {
		return "", explain(op, err)
	}
	if v, err = d.vacant(ctx, v, machine); err != nil {
		return "", explain(op, err)
	}
	s, err := d.look(machine)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: there is no such machine: %w", op, ci.ErrNotFound)
	case err != nil:
		return "", explain(op, err)
	case s.machine().State != vmservice.MachineRunning:
		return "", explain(op, fmt.Errorf("the machine is %s, and must be running: %w", s.machine().State, ci.ErrConflict))
	}
	if v.Machine == "" {
		if err := write(filepath.Join(d.volumeDir(volume), fileUse), []byte(machine+"\n"), 0o600); err != nil {
			return "", explain(op, err)
		}
	}
	d.step("noted")
	if err := d.plug(ctx, volume, machine); err != nil {
		// It is taken back, or else it stays noted, and so will be.
		clean, cancel := undoing(ctx)
		defer cancel()
		_, undone := d.release(clean, vmservice.Volume{ID: volume, Machine: machine})
		return "", explain(op, errors.Join(err, undone))
	}
	return "/dev/" + node(volume), nil
}

// vacant returns a volume that the machine may have: it has it already, or
// nobody does.
func (d *Driver) vacant(ctx context.Context, v vmservice.Volume, machine string) (vmservice.Volume, error) {
	if v.Machine == "" || v.Machine == machine && v.State == vmservice.VolumeAttached {
		return v, nil
	}
	alive, err := d.alive(v.Machine)
	if err != nil {
		return v, err
	}
	if alive {
		return v, fmt.Errorf("machine %s has it: %w", v.Machine, ci.ErrConflict)
	}
	gone, err := d.release(ctx, v)
	if err == nil && !gone {
		err = fmt.Errorf("machine %s, which has ended, still holds it: %w", v.Machine, ci.ErrConflict)
	}
	v.Machine, v.State = "", vmservice.VolumeFree
	return v, err
}

// plug makes a volume a device of the machine.
func (d *Driver) plug(ctx context.Context, volume, machine string) error {
	dir := d.volumeDir(volume)
	loop, err := loopOf(ctx, filepath.Join(dir, fileBytes))
	if err == nil && loop == "" {
		var out string
		out, err = tool(ctx, "", "losetup", "--find", "--show", filepath.Join(dir, fileBytes))
		loop = strings.TrimSpace(out)
	}
	if err != nil {
		return fmt.Errorf("make it a loop device: %w", err)
	}
	d.step("looped")
	dev, err := blockDevice(loop)
	if err != nil {
		return err
	}
	g, err := d.group(machine)
	if err != nil {
		return err
	}
	held, err := lock(ctx, d.machineDir(machine), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := d.allowVolumes(ctx, g, machine); err != nil {
		return err
	}
	d.step("allowed")
	// Its init may not be there yet in the first moments of the machine.
	var failed error
	waiting, cancel := context.WithTimeout(ctx, 4*patience)
	defer cancel()
	err = poll(waiting, func() (bool, error) {
		if !g.populated() {
			return true, fmt.Errorf("the machine has ended: %w", ci.ErrConflict)
		}
		failed = g.plant(node(volume), &dev)
		return failed == nil, nil
	})
	if err != nil {
		return errors.Join(err, failed)
	}
	d.step("planted")
	return nil
}

// allowVolumes lets the machine use the volumes that it has, and no others. The
// caller holds the lock of the machine's folder.
func (d *Driver) allowVolumes(ctx context.Context, g group, machine string) error {
	ids, err := d.ids(ctx, "volumes")
	if err != nil {
		return err
	}
	var blocks []device
	for _, id := range ids {
		v, err := d.volume(id)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (v.Machine != machine || v.State != vmservice.VolumeAttached) {
			continue
		} else if err != nil {
			return err
		}
		loop, err := loopOf(ctx, filepath.Join(d.volumeDir(id), fileBytes))
		if err != nil {
			return err
		}
		if loop == "" {
			continue // it is being attached just now
		}
		dev, err := blockDevice(loop)
		if err != nil {
			return err
		}
		blocks = append(blocks, dev)
	}
	return g.allow(blocks)
}

// loopOf returns the loop device of a file, "" if it has none.
func loopOf(ctx context.Context, file string) (string, error) {
	out, err := tool(ctx, "", "losetup", "--noheadings", "--output", "NAME", "--associated", file)
	if err != nil {
		return "", err
	}
	f := strings.Fields(out)
	if len(f) > 1 {
		return "", fmt.Errorf("%s is more than one loop device (%s): detach them with losetup --detach: %w", file, strings.Join(f, ", "), ci.ErrConflict)
	}
	return strings.Join(f, ""), nil
}

// Detach implements [vmservice.Volumes]. A volume that the machine has mounted
// or open stays, and that is an error, until the machine lets go. Force ends a
// machine that does not: nothing else makes sure that two machines never write
// to one volume.
func (d *Driver) Detach(ctx context.Context, volume string, force bool) error {
	op := "detach volume " + volume
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if !idForm.MatchString(volume) || volume[0] != 'v' {
		return fmt.Errorf("%s: there is no such volume: %w", op, ci.ErrNotFound)
	}
	held, err := lock(ctx, d.volumeDir(volume), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no such volume: %w", op, ci.ErrNotFound)
	} else if err != nil {
		return explain(op, err)
	}
	defer held.Close()
	v, err := d.volume(volume)
	if err != nil || v.Machine == "" {
		return explain(op, err)
	}
	gone, err := d.release(ctx, v)
	if err == nil && !gone && force {
		d.cfg.Log.Warn("a machine ends because it does not let go of a volume", "machine", v.Machine, "volume", volume)
		if err = d.kill(ctx, v.Machine, "its volume "+volume+" was taken away"); err == nil {
			gone, err = d.release(ctx, v)
		}
	}
	if err == nil && !gone {
		err = fmt.Errorf("machine %s has it mounted or open: unmount it there", v.Machine)
	}
	return explain(op, err)
}

// release takes a volume back and reports whether the machine has let go of it.
// The caller holds the lock of the volume's folder.
func (d *Driver) release(ctx context.Context, v vmservice.Volume) (bool, error) {
	dir := d.volumeDir(v.ID)
	if err := write(filepath.Join(dir, fileLeaving), nil, 0o600); err != nil {
		return false, err
	}
	d.step("leaving")
	if err := d.unplug(ctx, v); err != nil {
		return false, err
	}
	d.step("unplugged")
	file := filepath.Join(dir, fileBytes)
	loop, err := loopOf(ctx, file)
	if err != nil {
		return false, err
	}
	if loop != "" {
		if _, err := tool(ctx, "", "losetup", "--detach", loop); err != nil {
			if now, still := loopOf(ctx, file); still != nil || now != "" {
				return false, err
			}
		}
		// One that is still open goes when it is closed, not before.
		waiting, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		err := poll(waiting, func() (bool, error) { loop, err = loopOf(ctx, file); return loop == "", err })
		if loop != "" {
			return false, errors.Join(ctx.Err(), unlessDone(err))
		}
	}
	d.step("unlooped")
	for _, name := range []string{fileLeaving, fileUse} { // in this order: it stays with the machine until both are gone
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return true, nil
}

// unlessDone drops that a wait of our own has ended.
func unlessDone(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// unplug takes from a machine what it can use a volume by.
func (d *Driver) unplug(ctx context.Context, v vmservice.Volume) error {
	g, err := d.group(v.Machine)
	if err != nil || !g.populated() {
		return err
	}
	held, err := lock(ctx, d.machineDir(v.Machine), os.O_RDONLY)
	if err != nil {
		return ignoreMissing(err)
	}
	defer held.Close()
	if err := d.allowVolumes(ctx, g, v.Machine); err != nil {
		if !g.populated() {
			return nil // there is nobody left to be kept from it
		}
		return err
	}
	// The name is of no use any more; a machine whose /dev is odd may keep it.
	_ = g.plant(node(v.ID), nil)
	return nil
}

// freeVolumes takes back the volumes of a machine that has ended.
func (d *Driver) freeVolumes(ctx context.Context, machine string) error {
	ids, err := d.ids(ctx, "volumes")
	if err != nil {
		return err
	}
	for _, id := range ids {
		v, err := d.volume(id)
		if err != nil || v.Machine != machine {
			continue // a damaged one is for the list to tell
		}
		if err := d.settle(ctx, v); err != nil {
			return err
		}
	}
	return nil
}
