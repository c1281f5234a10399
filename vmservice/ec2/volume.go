package ec2

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// CreateVolume makes an empty, encrypted gp3 volume; zone "" is that of the
// first subnet.
func (d *Driver) CreateVolume(ctx context.Context, key string, gb int, zone string, tags map[string]string) (vmservice.Volume, error) {
	op := "create volume " + key
	if key == "" || len(key) > 128 || gb < 1 || gb > 65536 {
		return vmservice.Volume{}, fmt.Errorf("%s: its key has 1 to 128 characters and it has 1 to 65536 GB, not %d: %w", op, gb, ci.ErrInvalid)
	}
	if zone == "" {
		nets, err := d.network(ctx)
		if err != nil {
			return vmservice.Volume{}, err
		}
		zone = nets[0].Zone
	}
	all := map[string]string{tagName: "rondo layers"}
	maps.Copy(all, tags)
	all[vmservice.TagKey] = key
	specs, err := d.tagSpecs(op, all, types.ResourceTypeVolume)
	if err != nil {
		return vmservice.Volume{}, err
	}
	in := &ec2.CreateVolumeInput{
		AvailabilityZone: aws.String(zone), Size: aws.Int32(int32(gb)), VolumeType: types.VolumeTypeGp3, Encrypted: aws.Bool(true),
		ClientToken: aws.String(digest(d.install, "volume", key)), TagSpecifications: specs,
	}
	if d.cfg.Disk.KMSKey != "" {
		in.KmsKeyId = aws.String(d.cfg.Disk.KMSKey)
	}
	out, err := d.client.CreateVolume(ctx, in)
	if err != nil {
		err = explain(op, err)
		if is(err, "IdempotentParameterMismatch") {
			if had, ok, findErr := d.volumeOf(ctx, tag(vmservice.TagKey, key)); ok && findErr == nil {
				return had, nil
			}
		}
		return vmservice.Volume{}, err
	}
	v := volume(types.Volume{
		VolumeId: out.VolumeId, State: out.State, Size: out.Size, AvailabilityZone: out.AvailabilityZone,
		CreateTime: out.CreateTime, Tags: out.Tags, Attachments: out.Attachments,
	})
	remember(d, d.freshVolumes, v.ID, v)
	return v, nil
}

// Volumes asks once for all volumes, in pages. One that is being deleted is not
// there any more.
func (d *Driver) Volumes(ctx context.Context) ([]vmservice.Volume, error) {
	pages := ec2.NewDescribeVolumesPaginator(d.client, &ec2.DescribeVolumesInput{
		MaxResults: aws.Int32(500), Filters: []types.Filter{tag(vmservice.TagInstall, d.install), onlyLayers()},
	})
	var all []vmservice.Volume
	seen := map[string]bool{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain("list volumes", err)
		}
		for _, v := range page.Volumes {
			id := aws.ToString(v.VolumeId)
			if seen[id] {
				continue
			}
			seen[id] = true
			if v.State != types.VolumeStateDeleting && v.State != types.VolumeStateDeleted {
				all = append(all, volume(v))
			}
		}
	}
	return append(all, unlisted(d, d.freshVolumes, seen)...), nil
}

// onlyLayers leaves the machines' own disks out, which have the machines' tags.
func onlyLayers() types.Filter { return tag(tagName, "rondo layers") }

// volumeOf finds one volume of the installation.
func (d *Driver) volumeOf(ctx context.Context, by types.Filter) (v vmservice.Volume, ok bool, err error) {
	out, err := d.client.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{
		Filters: []types.Filter{tag(vmservice.TagInstall, d.install), onlyLayers(), by},
	})
	if err != nil {
		return v, false, explain("look for a volume", err)
	}
	for _, found := range out.Volumes {
		if found.State != types.VolumeStateDeleting && found.State != types.VolumeStateDeleted {
			return volume(found), true, nil
		}
	}
	return v, false, nil
}

// mine returns the volume of that ID, or why it can't be used.
func (d *Driver) mine(ctx context.Context, op, id string) (vmservice.Volume, error) {
	v, ok, err := d.volumeOf(ctx, types.Filter{Name: aws.String("volume-id"), Values: []string{id}})
	switch {
	case err != nil:
		return v, fmt.Errorf("%s: %w", op, err)
	case !ok && lately(d, d.freshVolumes, id):
		return v, &vmservice.Fault{Class: vmservice.FaultTransient, Code: "InvalidVolume.NotFound", After: 5 * time.Second,
			Err: fmt.Errorf("%s: it was made a moment ago and Amazon does not know it yet: again in a while", op)}
	case !ok:
		return v, fmt.Errorf("%s: no volume of this installation: %w", op, ci.ErrNotFound)
	}
	return v, nil
}

// volume is one of Amazon's in the words of the pool.
func volume(v types.Volume) vmservice.Volume {
	tags := tagMap(v.Tags)
	out := vmservice.Volume{
		ID: aws.ToString(v.VolumeId), Key: tags[vmservice.TagKey], GB: int(aws.ToInt32(v.Size)), Zone: aws.ToString(v.AvailabilityZone),
		Tags: tags, Created: aws.ToTime(v.CreateTime), State: vmservice.VolumeBroken,
	}
	switch v.State {
	case types.VolumeStateCreating:
		out.State = vmservice.VolumeCreating
	case types.VolumeStateAvailable:
		out.State = vmservice.VolumeFree
	case types.VolumeStateInUse:
		out.State = vmservice.VolumeAttached
	}
	for _, a := range v.Attachments {
		switch a.State {
		case types.VolumeAttachmentStateDetached:
			continue
		case types.VolumeAttachmentStateAttaching:
			out.State = vmservice.VolumeAttaching
		case types.VolumeAttachmentStateDetaching, types.VolumeAttachmentStateBusy:
			out.State = vmservice.VolumeDetaching
		case types.VolumeAttachmentStateAttached:
			out.State = vmservice.VolumeAttached
		}
		out.Machine = aws.ToString(a.InstanceId)
	}
	return out
}

// attachWait is how long an attachment may take; mostly it is 2 to 10 seconds.
const attachWait = time.Minute

// Attach asks for the attachment and waits for it, a minute at most. On a
// machine with NVMe, which is nearly every one, the device is named by the
// volume's serial: the kernel numbers devices as it finds them.
func (d *Driver) Attach(ctx context.Context, id, machine string) (string, error) {
	op := fmt.Sprintf("attach volume %s to %s", id, machine)
	v, err := d.mine(ctx, op, id)
	if err != nil {
		return "", err
	}
	if v.Machine != "" && v.Machine != machine {
		return "", fmt.Errorf("%s: machine %s has it: %w", op, v.Machine, ci.ErrConflict)
	}
	out, err := d.client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{machine}})
	if err != nil {
		return "", d.missing(op, machine, explain(op, err))
	}
	if len(out.Reservations) == 0 || len(out.Reservations[0].Instances) == 0 {
		return "", fmt.Errorf("%s: no such machine: %w", op, ci.ErrNotFound)
	}
	i := out.Reservations[0].Instances[0]
	if m := d.machine(i); m.State != vmservice.MachineRunning || m.Tags[vmservice.TagInstall] != d.install {
		if m.State == vmservice.MachineBooting {
			return "", &vmservice.Fault{Class: vmservice.FaultTransient, Code: "IncorrectInstanceState", After: 5 * time.Second, Err: fmt.Errorf("%s: the machine is booting", op)}
		}
		return "", fmt.Errorf("%s: the machine is not running, or not of this installation: %w", op, ci.ErrConflict)
	}
	if m := aws.ToString(i.Placement.AvailabilityZone); m != v.Zone {
		return "", fmt.Errorf("%s: the machine is in zone %s, the volume in %s: %w", op, m, v.Zone, ci.ErrInvalid)
	}
	info, err := d.typeOf(ctx, op, string(i.InstanceType))
	if err != nil {
		return "", err
	}
	name := deviceOf(i, id)
	if v.State != vmservice.VolumeAttached && v.State != vmservice.VolumeAttaching {
		if name, err = d.attach(ctx, op, id, machine, used(i)); err != nil {
			return "", err
		}
	}
	if err := d.attached(ctx, op, id, machine); err != nil {
		return "", err
	}
	if info.Nitro {
		return "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_" + strings.ReplaceAll(id, "-", ""), nil
	}
	return strings.Replace(name, "/dev/sd", "/dev/xvd", 1), nil
}

// missing says that a machine is unknown in the pool's words.
func (d *Driver) missing(op, id string, err error) error {
	if is(err, "InvalidInstanceID*") && !lately(d, d.fresh, id) {
		return fmt.Errorf("%s: no such machine: %w", op, ci.ErrNotFound)
	}
	return err
}

// used are the names of devices that a machine has.
func used(i types.Instance) []string {
	var names []string
	for _, b := range i.BlockDeviceMappings {
		names = append(names, aws.ToString(b.DeviceName))
	}
	return names
}

// deviceOf is under which name a machine has a volume.
func deviceOf(i types.Instance, volume string) string {
	for _, b := range i.BlockDeviceMappings {
		if b.Ebs != nil && aws.ToString(b.Ebs.VolumeId) == volume {
			return aws.ToString(b.DeviceName)
		}
	}
	return ""
}

// attach asks for the attachment, under the first name that is free: Amazon
// advises /dev/sdf to /dev/sdp.
func (d *Driver) attach(ctx context.Context, op, id, machine string, taken []string) (string, error) {
	for c := 'f'; c <= 'p'; c++ {
		name := "/dev/sd" + string(c)
		if slices.Contains(taken, name) {
			continue
		}
		_, err := d.client.AttachVolume(ctx, &ec2.AttachVolumeInput{VolumeId: &id, InstanceId: &machine, Device: &name})
		if err == nil {
			return name, nil
		}
		err = explain(op, err)
		switch {
		case is(err, "InvalidParameterValue") && strings.Contains(err.Error(), "already in use"):
			continue // lately, by another
		case is(err, "VolumeInUse"):
			if v, findErr := d.mine(ctx, op, id); findErr == nil && v.Machine == machine {
				return name, nil // the answer to an earlier try was lost
			}
			return "", fmt.Errorf("%s: another machine has it: %w: %w", op, ci.ErrConflict, err)
		}
		return "", d.missing(op, machine, err)
	}
	return "", &vmservice.Fault{Class: vmservice.FaultQuota, Code: "AttachmentLimitExceeded", Err: fmt.Errorf("%s: all of /dev/sdf to /dev/sdp are taken", op)}
}

// attached waits until the machine has the volume.
func (d *Driver) attached(ctx context.Context, op, id, machine string) error {
	for began := time.Now(); ; {
		v, err := d.mine(ctx, op, id)
		if err != nil && class(err) != vmservice.FaultTransient {
			return err
		}
		if err == nil && v.State == vmservice.VolumeAttached && v.Machine == machine {
			return nil
		}
		if time.Since(began) > attachWait {
			return &vmservice.Fault{Class: vmservice.FaultTransient, Code: "attaching", Err: fmt.Errorf("%s: not done after %s", op, attachWait)}
		}
		if err := wait(ctx, time.Second); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
}

// Detach asks that a volume be taken back and does not wait: [Driver.Volumes]
// shows when it is free. Without force it stays detaching for as long as the
// machine has it mounted. An unknown one is [ci.ErrNotFound].
func (d *Driver) Detach(ctx context.Context, id string, force bool) error {
	op := "detach volume " + id
	v, err := d.mine(ctx, op, id)
	if err != nil {
		return err
	}
	if v.Machine == "" || v.State == vmservice.VolumeDetaching && !force {
		return nil
	}
	_, err = d.client.DetachVolume(ctx, &ec2.DetachVolumeInput{VolumeId: &id, Force: aws.Bool(force)})
	if err == nil || is(err, "IncorrectState") { // free in the meantime
		return nil
	}
	return explain(op, err)
}

// DestroyVolume deletes a free volume. One that a machine has is
// [ci.ErrConflict].
func (d *Driver) DestroyVolume(ctx context.Context, id string) error {
	op := "destroy volume " + id
	_, err := d.mine(ctx, op, id)
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return err
	}
	_, err = d.client.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &id})
	switch {
	case err == nil:
		forget(d, d.freshVolumes, id)
		return nil
	case is(err, "InvalidVolume.NotFound"):
		return nil
	case is(err, "VolumeInUse", "IncorrectState"):
		return fmt.Errorf("%s: a machine has it: %w", op, ci.ErrConflict)
	}
	return explain(op, err)
}
