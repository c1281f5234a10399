package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// The files in the folder of a volume.
const (
	fileVolume  = "volume.json"
	fileBytes   = "volume.img"
	fileUse     = "machine"   // the machine that has it, before it does
	fileLeaving = "detaching" // it is being taken back
)

// minFree is what is left of the disk for the host: less than that, and neither
// machines nor volumes are made.
const minFree = 2 << 30

func (d *Driver) volumeDir(id string) string { return filepath.Join(d.home, "volumes", id) }

// room is nil if the disk has some.
func (d *Driver) room(what string) error {
	dir := d.cfg.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	left, _, err := free(dir)
	if err != nil {
		return err
	}
	if left < minFree {
		return full("disk", "make %s: the disk of %s has %d MiB left, and %d are kept for the host: make room, or choose another onhost.dir",
			what, dir, left>>20, minFree>>20)
	}
	return nil
}

// CreateVolume implements [vmservice.Volumes]. The volume takes no room before
// something is written to it.
func (d *Driver) CreateVolume(ctx context.Context, key string, gb int, zone string, tags map[string]string) (vmservice.Volume, error) {
	op := "create volume " + key
	switch {
	case ctx.Err() != nil:
		return vmservice.Volume{}, fmt.Errorf("%s: %w", op, ctx.Err())
	case key == "" || len(key) > 1000:
		return vmservice.Volume{}, fmt.Errorf("create a volume: the key has 1 to 1000 bytes: %w", ci.ErrInvalid)
	case gb < 1 || gb > maxDiskGB:
		return vmservice.Volume{}, fmt.Errorf("%s: it can have 1 to %d GB, and not %d: %w", op, maxDiskGB, gb, ci.ErrInvalid)
	case zone != "":
		return vmservice.Volume{}, explain(op, settings("zones", "a host has no zones, and one in %q is wanted: leave zones out", zone))
	}
	v := vmservice.Volume{ID: "v-" + digest(d.install, key)[:16], Key: key, GB: gb, Tags: maps.Clone(tags), Created: time.Now().UTC()}
	if v.Tags == nil {
		v.Tags = map[string]string{}
	}
	v.Tags[vmservice.TagInstall], v.Tags[vmservice.TagKey] = d.install, key
	dir := d.volumeDir(v.ID)
	if !exists(dir) {
		if err := d.placeVolume(dir, v); err != nil {
			return vmservice.Volume{}, explain(op, err)
		}
	}
	d.step("volume")
	made, err := d.volume(v.ID)
	if err == nil && made.Key != key {
		err = fmt.Errorf("what is written down in %s is damaged: destroy volume %s first: %w", dir, v.ID, ci.ErrConflict)
	}
	return made, explain(op, err)
}

// placeVolume writes the folder of a volume, whole or not at all.
func (d *Driver) placeVolume(dir string, v vmservice.Volume) error {
	if err := d.room(v.Key); err != nil {
		return err
	}
	return whole(dir, fileVolume, v, func(draft string) error {
		if err := sparse(filepath.Join(draft, fileBytes), v.GB); err != nil {
			return err
		}
		d.step("volume drafted")
		return nil
	})
}

// Volumes implements [vmservice.Volumes]. Volumes of machines that have ended
// are free.
func (d *Driver) Volumes(ctx context.Context) ([]vmservice.Volume, error) {
	ids, err := d.ids(ctx, "volumes")
	if err != nil {
		return nil, explain("list volumes", err)
	}
	var all []vmservice.Volume
	for _, id := range ids {
		v, err := d.volume(id)
		if err == nil && v.Machine != "" {
			if err := d.settle(ctx, v); err != nil {
				d.cfg.Log.Warn("take back a volume", "volume", id, "machine", v.Machine, "err", err)
			}
			v, err = d.volume(id)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went just now
		}
		if err != nil {
			return nil, explain("list volumes", err)
		}
		all = append(all, v)
	}
	return all, ctx.Err()
}

// settle takes a volume back whose machine has ended, or has let go of it since
// it was asked to.
func (d *Driver) settle(ctx context.Context, v vmservice.Volume) error {
	if alive, err := d.alive(v.Machine); err != nil || alive && v.State != vmservice.VolumeDetaching {
		return err
	}
	held, err := lock(ctx, d.volumeDir(v.ID), os.O_RDONLY)
	if err != nil {
		return ignoreMissing(err)
	}
	defer held.Close()
	now, err := d.volume(v.ID)
	if err != nil || now.Machine != v.Machine {
		return ignoreMissing(err)
	}
	_, err = d.release(ctx, now)
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// alive reports whether a machine has processes.
func (d *Driver) alive(id string) (bool, error) {
	g, err := d.group(id)
	return err == nil && g.populated(), err
}

// volume returns a volume as it is written down.
func (d *Driver) volume(id string) (vmservice.Volume, error) {
	dir := d.volumeDir(id)
	var v vmservice.Volume
	text, err := os.ReadFile(filepath.Join(dir, fileVolume))
	if err != nil {
		return v, err
	}
	err = json.Unmarshal(text, &v)
	v.State = vmservice.VolumeFree
	if err != nil || v.ID != id {
		// It is listed without a key, and so removed as one that nobody knows.
		d.cfg.Log.Warn("the record of a volume is damaged", "volume", id, "err", err)
		v = vmservice.Volume{ID: id, State: vmservice.VolumeBroken, Tags: map[string]string{vmservice.TagInstall: d.install}}
	}
	use, err := os.ReadFile(filepath.Join(dir, fileUse))
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	} else if err != nil {
		return v, err
	}
	v.Machine, v.State = strings.TrimSpace(string(use)), vmservice.VolumeAttached
	if exists(filepath.Join(dir, fileLeaving)) {
		v.State = vmservice.VolumeDetaching
	}
	return v, nil
}

// DestroyVolume implements [vmservice.Volumes].
func (d *Driver) DestroyVolume(ctx context.Context, id string) error {
	op := "destroy volume " + id
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if !idForm.MatchString(id) || id[0] != 'v' {
		return nil // no volume has such an ID
	}
	dir := d.volumeDir(id)
	held, err := lock(ctx, dir, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return explain(op, err)
	}
	defer held.Close()
	v, err := d.volume(id)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without a record: half-removed
		return explain(op, err)
	}
	if v.Machine != "" {
		alive, err := d.alive(v.Machine)
		if err != nil {
			return explain(op, err)
		}
		if alive {
			return fmt.Errorf("%s: machine %s has it: detach it first: %w", op, v.Machine, ci.ErrConflict)
		}
		if gone, err := d.release(ctx, v); err != nil || !gone {
			return explain(op, errors.Join(err, syscall.EBUSY))
		}
	}
	// The record goes last: a half-removed volume is listed, and removed again.
	if err := os.Remove(filepath.Join(dir, fileBytes)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain(op, err)
	}
	d.step("volume emptied")
	return explain(op, os.RemoveAll(dir))
}
