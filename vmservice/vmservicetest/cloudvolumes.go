package vmservicetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// CreateVolume is that of [vmservice.Volumes].
func (c *Cloud) CreateVolume(ctx context.Context, key string, gb int, zone string, tags map[string]string) (vmservice.Volume, error) {
	a, err := c.call(ctx, OpCreateVolume, key)
	if err != nil {
		return vmservice.Volume{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.volumes[key]
	if one == nil {
		one = &volume{Volume: vmservice.Volume{
			ID: fmt.Sprintf("v-%06d", len(c.volumes)+1), Key: key, GB: gb, Zone: cmp.Or(zone, c.cfg.Zones[0]),
			State: vmservice.VolumeFree, Tags: maps.Clone(tags), Created: time.Now(),
		}}
		c.volumes[key] = one
		c.peakGB = max(c.peakGB, c.gigabytes())
	}
	if a.Err != nil {
		return vmservice.Volume{}, a.Err
	}
	return one.at(time.Now()), nil
}

func (c *Cloud) gigabytes() int {
	n := 0
	for _, v := range c.volumes {
		if !v.gone {
			n += v.GB
		}
	}
	return n
}

// at returns the volume as it is seen at a time.
func (v *volume) at(now time.Time) vmservice.Volume {
	if v.State == vmservice.VolumeDetaching && !now.Before(v.free) {
		v.State, v.Machine = vmservice.VolumeFree, ""
	}
	out := v.Volume
	out.Tags = maps.Clone(v.Tags)
	return out
}

// Volumes is that of [vmservice.Volumes].
func (c *Cloud) Volumes(ctx context.Context) ([]vmservice.Volume, error) {
	a, err := c.call(ctx, OpVolumes, "")
	if err != nil || a.Err != nil {
		return nil, cmp.Or(err, a.Err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.letGo(now)
	var all []vmservice.Volume
	for _, v := range c.volumes {
		if !v.gone && !now.Before(v.Created.Add(c.cfg.Lag)) && v.Tags[vmservice.TagInstall] == c.cfg.Install {
			all = append(all, v.at(now))
		}
	}
	slices.SortFunc(all, func(a, b vmservice.Volume) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// letGo frees what machines had that are gone.
func (c *Cloud) letGo(now time.Time) {
	for _, v := range c.volumes {
		if m := c.byID(v.Machine); m != nil && m.at(now).State == vmservice.MachineGone {
			v.State, v.Machine = vmservice.VolumeFree, ""
		}
	}
}

func (c *Cloud) volumeByID(id string) *volume {
	for _, v := range c.volumes {
		if v.ID == id && !v.gone {
			return v
		}
	}
	return nil
}

// Attach is that of [vmservice.Volumes].
func (c *Cloud) Attach(ctx context.Context, id, machine string) (string, error) {
	a, err := c.call(ctx, OpAttach, id)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.letGo(now)
	v, m := c.volumeByID(id), c.byID(machine)
	switch {
	case v == nil:
		return "", fmt.Errorf("attach volume %s: %w", id, ci.ErrNotFound)
	case m == nil || m.at(now).State != vmservice.MachineRunning:
		return "", fmt.Errorf("attach volume %s: machine %s does not run: %w", id, machine, ci.ErrConflict)
	case v.Zone != m.Zone:
		return "", fmt.Errorf("attach volume %s of zone %s to %s in %s: %w", id, v.Zone, machine, m.Zone, ci.ErrInvalid)
	}
	switch seen := v.at(now); {
	case seen.State == vmservice.VolumeFree:
		v.State, v.Machine = vmservice.VolumeAttached, machine
		v.users = append(v.users, machine)
	case seen.State != vmservice.VolumeAttached || v.Machine != machine:
		return "", fmt.Errorf("attach volume %s: machine %s has it: %w", id, v.Machine, ci.ErrConflict)
	}
	if a.Err != nil {
		return "", a.Err
	}
	return Device(id), nil
}

// Device is where a machine of a [Cloud] sees a volume.
func Device(volume string) string { return "/dev/" + volume }

// Detach is that of [vmservice.Volumes].
func (c *Cloud) Detach(ctx context.Context, id string, force bool) error {
	a, err := c.call(ctx, OpDetach, id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.letGo(now)
	v := c.volumeByID(id)
	if v == nil {
		return fmt.Errorf("detach volume %s: %w", id, ci.ErrNotFound)
	}
	switch v.at(now).State {
	case vmservice.VolumeAttached:
		v.State, v.free = vmservice.VolumeDetaching, now.Add(a.After)
	}
	if force || a.After == 0 && v.State == vmservice.VolumeDetaching && !now.Before(v.free) {
		v.State, v.Machine = vmservice.VolumeFree, ""
	}
	return a.Err
}

// DestroyVolume is that of [vmservice.Volumes].
func (c *Cloud) DestroyVolume(ctx context.Context, id string) error {
	a, err := c.call(ctx, OpDestroyVolume, id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.letGo(now)
	if v := c.volumeByID(id); v != nil {
		if v.at(now).State != vmservice.VolumeFree {
			return fmt.Errorf("destroy volume %s: machine %s has it: %w", id, v.Machine, ci.ErrConflict)
		}
		v.gone = true
	}
	return a.Err
}
