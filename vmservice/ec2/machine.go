package ec2

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// The tags by which the driver knows a model again, and the one by which the
// policies of CircleCI's guide tell machines that may be ended.
const (
	tagManaged, managed = "ManagedBy", "circleci-vm-service"

	tagName  = "Name"
	tagKind  = "rondo-kind"
	tagClass = "rondo-class"
	tagImage = "rondo-image"
	tagArch  = "rondo-arch"
	tagLife  = "rondo-life"
)

// Create starts a machine of the model, in the first place that has room: the
// first type of its class in all subnets, then the next type; of a kind that may
// run on Spot machines, on those first. The key becomes part of the
// client token, so that the same key again is the same machine; if a place is
// full, that of the next place is another token.
func (d *Driver) Create(ctx context.Context, key string, m vmservice.Model, b vmservice.Boot) (vmservice.Machine, error) {
	op := "create machine " + key
	if key == "" || len(key) > 128 {
		return vmservice.Machine{}, fmt.Errorf("%s: its key has 1 to 128 characters: %w", op, ci.ErrInvalid)
	}
	if d.doubted(key) {
		if had, ok, err := d.machineOf(ctx, key); err != nil || ok {
			return had, err
		}
	}
	in, err := d.launch(ctx, key, m, b)
	if err != nil {
		return vmservice.Machine{}, err
	}
	targets, err := d.targets(ctx, op, m, b.Zone)
	if err != nil {
		return vmservice.Machine{}, err
	}
	var full error
	shortest := coolDown
	for _, t := range targets {
		if left, warm := d.warm(t.places()...); !warm {
			shortest = min(shortest, left)
			continue
		}
		made, err := d.run(ctx, op, key, in, t)
		if class(err) != vmservice.FaultCapacity {
			return made, err
		}
		full = err
	}
	f := &vmservice.Fault{Class: vmservice.FaultCapacity, Code: "InsufficientInstanceCapacity", After: shortest, Err: full}
	if full == nil {
		f.Err = fmt.Errorf("%s: none of the %d places for class %q had room a moment ago", op, len(targets), m.Class)
	} else if is(full, "*") {
		f.Code = codeOf(full)
	}
	return vmservice.Machine{}, f
}

// run asks one place for the machine.
func (d *Driver) run(ctx context.Context, op, key string, in ec2.RunInstancesInput, t target) (vmservice.Machine, error) {
	in.InstanceType = types.InstanceType(t.Type)
	in.NetworkInterfaces = slices.Clone(in.NetworkInterfaces)
	in.NetworkInterfaces[0].SubnetId = aws.String(t.Subnet.ID)
	market := "on-demand"
	if t.Spot {
		market = "spot"
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: &types.SpotMarketOptions{
			SpotInstanceType: types.SpotInstanceTypeOneTime, InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
		}}
	}
	in.ClientToken = aws.String(digest(d.install, key, t.Type, t.Subnet.ID, market))
	out, err := d.client.RunInstances(ctx, &in)
	if err != nil {
		err = explain(op, err)
		switch {
		case is(err, "IdempotentParameterMismatch"):
			had, ok, findErr := d.machineOf(ctx, key)
			if ok && findErr == nil {
				return had, nil
			}
			d.setDoubt(key, true)
		case class(err) == vmservice.FaultCapacity:
			p, long := t.blame(err)
			d.cool(p, long)
		case class(err) == vmservice.FaultTransient || class(err) == "":
			d.setDoubt(key, true)
		}
		return vmservice.Machine{}, err
	}
	if len(out.Instances) != 1 {
		d.setDoubt(key, true)
		return vmservice.Machine{}, &vmservice.Fault{Class: vmservice.FaultTransient, Err: fmt.Errorf("%s: the answer has %d machines", op, len(out.Instances))}
	}
	d.setDoubt(key, false)
	made := d.machine(out.Instances[0])
	remember(d, d.fresh, made.ID, made)
	return made, nil
}

// launch returns the request for a machine, but for the place.
func (d *Driver) launch(ctx context.Context, key string, m vmservice.Model, b vmservice.Boot) (ec2.RunInstancesInput, error) {
	op := "create machine " + key
	img, err := d.image(ctx, op, m)
	if err != nil {
		return ec2.RunInstancesInput{}, err
	}
	data, err := userData(key, b, d.cfg.Net.CA)
	if err != nil {
		return ec2.RunInstancesInput{}, err
	}
	tags := maps.Clone(b.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, map[string]string{
		tagName: "rondo " + string(m.Kind), tagKind: string(m.Kind), tagClass: m.Class, tagImage: m.Image, tagArch: m.Arch,
		tagLife: b.Life.String(), vmservice.TagKey: key,
	})
	specs, err := d.tagSpecs(op, tags, types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface)
	if err != nil {
		return ec2.RunInstancesInput{}, err
	}
	disk := &types.EbsBlockDevice{
		VolumeType: types.VolumeTypeGp3, VolumeSize: aws.Int32(int32(d.cfg.diskGB())), Encrypted: aws.Bool(true), DeleteOnTermination: aws.Bool(true),
	}
	if d.cfg.Disk.KMSKey != "" {
		disk.KmsKeyId = aws.String(d.cfg.Disk.KMSKey)
	}
	in := ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		ImageId:                           aws.String(img.ID),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorTerminate,
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1),
			InstanceMetadataTags: types.InstanceMetadataTagsStateDisabled,
		},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String(img.Root), Ebs: disk}},
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: aws.Int32(0), Groups: []string{d.cfg.SecurityGroup}, DeleteOnTermination: aws.Bool(true),
			AssociatePublicIpAddress: aws.Bool(d.cfg.Net.Public),
		}},
		TagSpecifications: specs,
		UserData:          aws.String(base64.StdEncoding.EncodeToString([]byte(data))),
	}
	return in, nil
}

func (c Config) diskGB() int {
	if c.Disk.GB == 0 {
		return 100
	}
	return c.Disk.GB
}

// tagSpecs returns the tags with those of the installation, for each of the
// resources.
func (d *Driver) tagSpecs(op string, tags map[string]string, resources ...types.ResourceType) ([]types.TagSpecification, error) {
	tags[tagManaged], tags[vmservice.TagInstall] = managed, d.install
	if len(tags) > 50 {
		return nil, fmt.Errorf("%s: %d tags, Amazon takes 50: %w", op, len(tags), ci.ErrInvalid)
	}
	var list []types.Tag
	for _, k := range sortedKeys(tags) {
		if len(k) > 128 || len(tags[k]) > 256 {
			return nil, fmt.Errorf("%s: tag %.128s: a key has at most 128 bytes, a value 256: %w", op, k, ci.ErrInvalid)
		}
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	var specs []types.TagSpecification
	for _, r := range resources {
		specs = append(specs, types.TagSpecification{ResourceType: r, Tags: list})
	}
	return specs, nil
}

// tag is a filter by the value of a tag.
func tag(name, value string) types.Filter {
	return types.Filter{Name: aws.String("tag:" + name), Values: []string{value}}
}

// machineOf finds the machine that was created under the key: one that lives if
// there is one.
func (d *Driver) machineOf(ctx context.Context, key string) (m vmservice.Machine, ok bool, err error) {
	out, err := d.client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{tag(vmservice.TagInstall, d.install), tag(vmservice.TagKey, key)},
	})
	if err != nil {
		return m, false, explain("look for machine "+key, err)
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if found := d.machine(i); !ok || m.State == vmservice.MachineGone {
				m, ok = found, true
			}
		}
	}
	return m, ok, nil
}

// List asks once for all machines, in pages. Those that were made in the last
// minute are in it even if Amazon does not show them yet.
func (d *Driver) List(ctx context.Context) ([]vmservice.Machine, error) {
	pages := ec2.NewDescribeInstancesPaginator(d.client, &ec2.DescribeInstancesInput{
		MaxResults: aws.Int32(1000), Filters: []types.Filter{tag(vmservice.TagInstall, d.install)},
	})
	var all []vmservice.Machine
	seen := map[string]bool{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explain("list machines", err)
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				m := d.machine(i)
				if seen[m.ID] {
					continue // it moved from one page to the next
				}
				seen[m.ID] = true
				all = append(all, m)
			}
		}
	}
	d.mu.Lock()
	d.listed = seen
	d.mu.Unlock()
	return append(all, unlisted(d, d.fresh, seen)...), nil
}

// machine is an instance in the words of the pool.
func (d *Driver) machine(i types.Instance) vmservice.Machine {
	tags := tagMap(i.Tags)
	m := vmservice.Machine{
		ID: aws.ToString(i.InstanceId), Key: tags[vmservice.TagKey], Tags: tags, Created: aws.ToTime(i.LaunchTime),
		Model: vmservice.Model{Kind: ci.MachineKind(tags[tagKind]), Class: tags[tagClass], Image: tags[tagImage], Arch: tags[tagArch]},
		State: vmservice.MachineBooting,
	}
	if i.Placement != nil {
		m.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	address := aws.ToString(i.PrivateIpAddress)
	if d.cfg.Net.Public {
		address = aws.ToString(i.PublicIpAddress)
	}
	if address != "" {
		m.Address = net.JoinHostPort(address, "22")
	}
	if i.State != nil {
		m.State = state(aws.ToInt32(i.State.Code))
	}
	if m.State == vmservice.MachineEnding || m.State == vmservice.MachineGone {
		if r := i.StateReason; r != nil {
			m.Why = died(aws.ToString(r.Code), aws.ToString(r.Message))
			if aws.ToString(r.Code) == "Server.InsufficientInstanceCapacity" && time.Since(m.Created) < coolDown {
				d.cool(place{Type: string(i.InstanceType), Zone: m.Zone, Spot: i.InstanceLifecycle == types.InstanceLifecycleTypeSpot}, coolDown)
			}
		}
	}
	return m
}

// state translates the code of a state, whose high byte is Amazon's own. A
// machine that stops or has stopped can't come back to work: it is ending, and
// the pool will destroy it.
func state(code int32) vmservice.MachineState {
	switch code & 0xff {
	case 0:
		return vmservice.MachineBooting
	case 16:
		return vmservice.MachineRunning
	case 48:
		return vmservice.MachineGone
	}
	return vmservice.MachineEnding // shutting-down, stopping, stopped
}

func tagMap(tags []types.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

// Destroy terminates the machine, if it has the tags of the installation. One
// at a time, for one wrong ID would fail all of a batch. One that was made a
// moment ago, and that Amazon does not know yet, is waited for.
func (d *Driver) Destroy(ctx context.Context, id string) error {
	op := "destroy machine " + id
	if id == "" {
		return nil
	}
	if err := d.ours(ctx, op, id); err != nil {
		return err
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		_, err := d.client.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		if is(err, "InvalidInstanceID.NotFound") && lately(d, d.fresh, id) {
			if err := wait(ctx, pause); err != nil {
				return fmt.Errorf("%s: Amazon does not know it yet: %w", op, err)
			}
			continue
		}
		if err != nil && !is(err, "InvalidInstanceID*") {
			return explain(op, err)
		}
		forget(d, d.fresh, id)
		return nil
	}
}

// ours returns an error if the machine is another installation's: the driver
// may have the right to end it, and must not.
func (d *Driver) ours(ctx context.Context, op, id string) error {
	d.mu.Lock()
	known := d.listed[id]
	d.mu.Unlock()
	if known || lately(d, d.fresh, id) {
		return nil
	}
	out, err := d.client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil && !is(err, "InvalidInstanceID*") {
		return explain(op, err)
	}
	if err != nil { // it is gone
		return nil
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if tagMap(i.Tags)[vmservice.TagInstall] != d.install {
				return fmt.Errorf("%s: it has not the tag %s=%s: %w", op, vmservice.TagInstall, d.install, ci.ErrDenied)
			}
		}
	}
	return nil
}

// codeOf returns the code of a fault.
func codeOf(err error) string {
	if f, ok := err.(*vmservice.Fault); ok {
		return f.Code
	}
	return ""
}
