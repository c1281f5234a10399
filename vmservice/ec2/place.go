package ec2

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// subnet is what has to be known of one.
type subnet struct {
	ID, Zone, VPC string
	Free          int
}

// target is one try to get a machine.
type target struct {
	Type   string
	Subnet subnet
	Spot   bool
}

// places are those that must be warm for the target.
func (t target) places() []place {
	return []place{{Type: t.Type, Zone: t.Subnet.Zone, Spot: t.Spot}, {Subnet: t.Subnet.ID}}
}

// blame returns what an error of capacity speaks of, and for how long that is
// left alone.
func (t target) blame(err error) (place, time.Duration) {
	switch {
	case is(err, "InsufficientFreeAddressesInSubnet"):
		return place{Subnet: t.Subnet.ID}, coolDown
	case is(err, "Unsupported"):
		return place{Type: t.Type, Zone: t.Subnet.Zone, Spot: t.Spot}, time.Hour
	}
	return place{Type: t.Type, Zone: t.Subnet.Zone, Spot: t.Spot}, coolDown
}

// targets returns where a machine of the model may be, in the order of trying.
func (d *Driver) targets(ctx context.Context, op string, m vmservice.Model, zone string) ([]target, error) {
	nets, err := d.network(ctx)
	if err != nil {
		return nil, err
	}
	var all []target
	markets := []bool{false}
	if slices.Contains(d.cfg.Spot, m.Kind) {
		markets = []bool{true, false}
	}
	for _, spot := range markets {
		for _, typ := range d.cfg.class(m.Class).Types {
			for _, s := range nets {
				if zone == "" || s.Zone == zone {
					all = append(all, target{typ, s, spot})
				}
			}
		}
	}
	if len(all) == 0 {
		return nil, &vmservice.Fault{Class: vmservice.FaultSettings, Setting: "subnets",
			Err: fmt.Errorf("%s: no subnet of the settings is in zone %s: add one to subnets: %w", op, zone, ci.ErrInvalid)}
	}
	return all, nil
}

// network returns the subnets of the settings, in their order.
func (d *Driver) network(ctx context.Context) ([]subnet, error) {
	d.mu.Lock()
	had := d.subnets
	d.mu.Unlock()
	if had.value != nil && time.Since(had.at) < lookups {
		return had.value, nil
	}
	now, err := d.lookNetwork(ctx)
	switch {
	case err != nil && had.value != nil && class(err) == vmservice.FaultTransient:
		return had.value, nil // subnets don't move
	case err != nil:
		return nil, err
	}
	d.mu.Lock()
	d.subnets = cached[[]subnet]{now, time.Now()}
	d.mu.Unlock()
	return now, nil
}

func (d *Driver) lookNetwork(ctx context.Context) ([]subnet, error) {
	ids := d.cfg.subnets()
	out, err := d.client.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: ids})
	if err != nil {
		return nil, explain("look up subnets", err)
	}
	var all []subnet
	for _, s := range out.Subnets {
		all = append(all, subnet{aws.ToString(s.SubnetId), aws.ToString(s.AvailabilityZone), aws.ToString(s.VpcId), int(aws.ToInt32(s.AvailableIpAddressCount))})
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(s subnet) bool { return s.ID == id }) {
			return nil, &vmservice.Fault{Class: vmservice.FaultSettings, Setting: "ec2_subnet_id",
				Err: fmt.Errorf("look up subnets: %s is not in region %s: %w", id, d.cfg.Region, ci.ErrInvalid)}
		}
	}
	slices.SortFunc(all, func(a, b subnet) int { return cmp.Compare(slices.Index(ids, a.ID), slices.Index(ids, b.ID)) })
	return all, nil
}

// image is what has to be known of an AMI.
type image struct {
	ID, Root, Arch, Name string
	RootGB               int
}

// Canonical's account at Amazon, and its images.
const (
	canonical    = "099720109477"
	defaultImage = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-%s-server-*"
)

// image returns the AMI for a model: that of its class, that of its name, the
// one of the settings, or the documented default.
func (d *Driver) image(ctx context.Context, op string, m vmservice.Model) (image, error) {
	id := cmp.Or(d.cfg.class(m.Class).Image, d.cfg.Images[m.Image], d.cfg.Image)
	arch := cmp.Or(m.Arch, "amd64")
	name := cmp.Or(id, "default for "+arch)
	d.mu.Lock()
	had, ok := d.images[name]
	d.mu.Unlock()
	if ok && time.Since(had.at) < lookups {
		return had.value, nil
	}
	img, err := d.lookImage(ctx, op, id, arch)
	switch {
	case err != nil && ok && class(err) == vmservice.FaultTransient:
		return had.value, nil
	case err != nil:
		return image{}, err
	}
	if ok && id == "" { // the default is the same as long as this driver lives: client tokens depend on it
		img = had.value
	}
	d.mu.Lock()
	d.images[name] = cached[image]{img, time.Now()}
	d.mu.Unlock()
	return img, nil
}

func (d *Driver) lookImage(ctx context.Context, op, id, arch string) (image, error) {
	in := &ec2.DescribeImagesInput{ImageIds: []string{id}}
	if id == "" {
		in = &ec2.DescribeImagesInput{Owners: []string{canonical}, Filters: []types.Filter{
			{Name: aws.String("name"), Values: []string{fmt.Sprintf(defaultImage, arch)}},
			{Name: aws.String("state"), Values: []string{"available"}},
		}}
	}
	out, err := d.client.DescribeImages(ctx, in)
	if err != nil {
		return image{}, explain(op, err)
	}
	slices.SortFunc(out.Images, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(b.CreationDate), aws.ToString(a.CreationDate)) // the newest first
	})
	if len(out.Images) == 0 {
		return image{}, &vmservice.Fault{Class: vmservice.FaultSettings, Setting: "custom_vm_ami", Err: fmt.Errorf(
			"%s: custom_vm_ami: region %s has no image %s: name one of your own: %w", op, d.cfg.Region, cmp.Or(id, "of the default, Ubuntu 24.04 for "+arch), ci.ErrInvalid)}
	}
	i := out.Images[0]
	img := image{ID: aws.ToString(i.ImageId), Root: cmp.Or(aws.ToString(i.RootDeviceName), "/dev/sda1"), Name: aws.ToString(i.Name), Arch: "amd64"}
	if i.Architecture == types.ArchitectureValuesArm64 {
		img.Arch = "arm64"
	}
	for _, b := range i.BlockDeviceMappings {
		if aws.ToString(b.DeviceName) == img.Root && b.Ebs != nil {
			img.RootGB = int(aws.ToInt32(b.Ebs.VolumeSize))
		}
	}
	return img, nil
}

// typeInfo is what has to be known of an instance type.
type typeInfo struct {
	VCPUs   int
	Arches  []string // amd64, arm64
	Nitro   bool     // volumes are NVMe devices
	Volumes int      // how many can be attached; 0 is unknown
	Shared  bool     // with network interfaces
}

// typeOf returns what is known of a type. It does not change.
func (d *Driver) typeOf(ctx context.Context, op, name string) (typeInfo, error) {
	d.mu.Lock()
	info, ok := d.types[name]
	d.mu.Unlock()
	if ok {
		return info, nil
	}
	out, err := d.client.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(name)}})
	if err != nil {
		return info, explain(op, err)
	}
	if len(out.InstanceTypes) != 1 {
		return info, &vmservice.Fault{Class: vmservice.FaultSettings, Setting: "aws_instance_type",
			Err: fmt.Errorf("%s: region %s has no type %s: %w", op, d.cfg.Region, name, ci.ErrInvalid)}
	}
	t := out.InstanceTypes[0]
	if t.VCpuInfo != nil {
		info.VCPUs = int(aws.ToInt32(t.VCpuInfo.DefaultVCpus))
	}
	if t.ProcessorInfo != nil {
		for _, a := range t.ProcessorInfo.SupportedArchitectures {
			info.Arches = append(info.Arches, map[types.ArchitectureType]string{"x86_64": "amd64", "arm64": "arm64"}[a])
		}
	}
	info.Nitro = true
	if e := t.EbsInfo; e != nil {
		info.Nitro = e.NvmeSupport != types.EbsNvmeSupportUnsupported
		info.Volumes, info.Shared = int(aws.ToInt32(e.MaximumEbsAttachments)), e.AttachmentLimitType == types.AttachmentLimitTypeShared
	}
	d.mu.Lock()
	d.types[name] = info
	d.mu.Unlock()
	return info, nil
}
