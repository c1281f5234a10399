package ec2test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// A Volume is what a test may look at.
type Volume struct {
	ID, Zone, State string
	GB              int
	Encrypted       bool
	Type            string
	Machine         string
	Tags            map[string]string
}

type volume struct {
	Volume
	token, sum string
	created    time.Time
	ready      time.Time
	machine    string
	device     string
	attached   time.Time
	detached   time.Time // zero is not asked for
	deleted    time.Time
	broken     bool
	stuck      bool
}

// Volumes returns all that are not deleted.
func (c *Cloud) Volumes() []Volume {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	c.settle(now)
	var all []Volume
	for _, v := range c.volumes {
		if v.deleted.IsZero() {
			x := v.Volume
			x.State, x.Machine, x.Tags = v.state(now), v.machine, maps.Clone(v.Tags)
			all = append(all, x)
		}
	}
	return all
}

// Break makes a volume fail, as one does whose key may not be used.
func (c *Cloud) Break(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.volumes {
		v.broken = v.broken || v.ID == id
	}
}

func (v *volume) state(now time.Time) string {
	switch {
	case v.broken:
		return "error"
	case !v.deleted.IsZero():
		return "deleting"
	case v.machine != "":
		return "in-use"
	case now.Before(v.ready):
		return "creating"
	}
	return "available"
}

func (v *volume) attachment(now time.Time) string {
	switch {
	case !v.detached.IsZero() && v.stuck:
		return "busy"
	case !v.detached.IsZero():
		return "detaching"
	case now.Before(v.attached):
		return "attaching"
	}
	return "attached"
}

func (v *volume) free() {
	v.machine, v.device, v.attached, v.detached = "", "", time.Time{}, time.Time{}
}

func (c *Cloud) createVolume(form url.Values, now time.Time) (any, *fault) {
	gb, err := strconv.Atoi(form.Get("Size"))
	if err != nil || gb < 1 {
		return nil, bad("InvalidParameterValue", "Volume of %sGiB is too small", form.Get("Size"))
	}
	zone := form.Get("AvailabilityZone")
	if !slices.Contains(c.lookups.zones(), zone) {
		return nil, bad("InvalidZone.NotFound", "The zone '%s' does not exist.", zone)
	}
	if f := dry(form); f != nil {
		return nil, f
	}
	token, alive := form.Get("ClientToken"), 0
	for _, v := range c.volumes {
		if token != "" && v.token == token {
			if v.sum != sum(form) {
				return nil, bad("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
			}
			return c.volumeAnswer(v, now), nil
		}
		if v.deleted.IsZero() {
			alive++
		}
	}
	if c.cfg.Volumes > 0 && alive >= c.cfg.Volumes {
		return nil, bad("VolumeLimitExceeded", "You have exceeded your maximum gp3 storage limit in this region.")
	}
	v := &volume{
		Volume: Volume{
			ID: fmt.Sprintf("vol-%017x", c.id()), Zone: zone, GB: gb, Encrypted: form.Get("Encrypted") == "true",
			Type: form.Get("VolumeType"), Tags: tagsFor(form, "volume"),
		},
		token: token, sum: sum(form), created: now, ready: now.Add(c.cfg.Attach),
	}
	c.volumes = append(c.volumes, v)
	return c.volumeAnswer(v, now), nil
}

func (c *Cloud) findVolume(id string, now time.Time) (*volume, *fault) {
	for _, v := range c.volumes {
		if v.ID == id && !now.Before(v.created.Add(c.cfg.Lag)) && (v.deleted.IsZero() || now.Before(v.deleted.Add(c.cfg.End))) {
			return v, nil
		}
	}
	return nil, bad("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

func (c *Cloud) describeVolumes(form url.Values, now time.Time) (any, *fault) {
	if f := dry(form); f != nil {
		return nil, f
	}
	ids := list(form, "VolumeId")
	for _, id := range ids {
		if _, f := c.findVolume(id, now); f != nil {
			return nil, f
		}
	}
	var all []*volume
	for _, v := range c.volumes {
		if _, f := c.findVolume(v.ID, now); f != nil || len(ids) > 0 && !slices.Contains(ids, v.ID) {
			continue
		}
		ok, f := filtered(form, v.Tags, func(name string) (string, bool) {
			p, ok := map[string]string{"volume-id": v.ID, "status": v.state(now), "attachment.instance-id": v.machine}[name]
			return p, ok
		})
		if f != nil {
			return nil, f
		}
		if ok {
			all = append(all, v)
		}
	}
	shown, next, f := page(c, form, all)
	if f != nil {
		return nil, f
	}
	out := volumesAnswer{Next: next}
	for _, v := range shown {
		out.Volumes = append(out.Volumes, c.volumeAnswer(v, now))
	}
	return out, nil
}

func (c *Cloud) attachVolume(form url.Values, now time.Time) (any, *fault) {
	v, f := c.findVolume(form.Get("VolumeId"), now)
	if f != nil {
		return nil, f
	}
	i, f := c.find(form.Get("InstanceId"), now)
	if f != nil {
		return nil, f
	}
	if f := dry(form); f != nil {
		return nil, f
	}
	device := form.Get("Device")
	_, state := i.state(now)
	switch {
	case state != "running":
		return nil, bad("IncorrectInstanceState", "Instance '%s' is not 'running'.", i.ID)
	case v.machine != "":
		return nil, bad("VolumeInUse", "%s is already attached to an instance", v.ID)
	case v.state(now) != "available":
		return nil, bad("IncorrectState", "Volume '%s' is in the '%s' state.", v.ID, v.state(now))
	case v.Zone != i.Zone:
		return nil, bad("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.ID, i.ID)
	case i.devices[device] != "" && c.holds(i, device):
		return nil, bad("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", device, device)
	case c.attachments(i) >= c.lookups.types[i.Type].volumes:
		return nil, bad("AttachmentLimitExceeded", "The maximum number of attachments has been reached.")
	}
	v.machine, v.device, v.attached = i.ID, device, now.Add(c.cfg.Attach)
	i.devices[device] = v.ID
	return attachmentXML{v.ID, i.ID, device, v.attachment(now)}, nil
}

// holds reports whether the device is that of a volume still.
func (c *Cloud) holds(i *instance, device string) bool {
	return slices.ContainsFunc(c.volumes, func(v *volume) bool { return v.machine == i.ID && v.device == device })
}

// attachments counts what an instance has, its own disk and interface too.
func (c *Cloud) attachments(i *instance) int {
	n := 2
	for _, v := range c.volumes {
		if v.machine == i.ID {
			n++
		}
	}
	return n
}

func (c *Cloud) detachVolume(form url.Values, now time.Time) (any, *fault) {
	v, f := c.findVolume(form.Get("VolumeId"), now)
	if f != nil {
		return nil, f
	}
	if f := dry(form); f != nil {
		return nil, f
	}
	if v.machine == "" {
		return nil, bad("IncorrectState", "Volume '%s' is in the 'available' state.", v.ID)
	}
	if form.Get("Force") == "true" {
		v.stuck = false
	}
	if v.detached.IsZero() || form.Get("Force") == "true" {
		v.detached = now.Add(c.cfg.Attach)
	}
	return attachmentXML{v.ID, v.machine, v.device, v.attachment(now)}, nil
}

func (c *Cloud) deleteVolume(form url.Values, now time.Time) (any, *fault) {
	v, f := c.findVolume(form.Get("VolumeId"), now)
	if f != nil {
		return nil, f
	}
	if f := dry(form); f != nil {
		return nil, f
	}
	switch s := v.state(now); {
	case v.machine != "":
		return nil, bad("VolumeInUse", "Volume %s is currently attached to %s", v.ID, v.machine)
	case s == "deleting":
		return nil, bad("InvalidVolume.NotFound", "The volume '%s' does not exist.", v.ID)
	case s == "creating":
		return nil, bad("IncorrectState", "The volume '%s' is 'creating'.", v.ID)
	}
	v.deleted = now
	return doneAnswer{true}, nil
}
