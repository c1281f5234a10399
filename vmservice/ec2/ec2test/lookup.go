package ec2test

import (
	"net/url"
	"slices"
	"time"
)

// A Subnet of the cloud.
type Subnet struct {
	ID, Zone, VPC string
	Addresses     int
}

// A Group is a security group that lets in everybody on some ports.
type Group struct {
	ID, VPC string
	From    string // CIDR
	Ports   []int
}

// An Image is an AMI.
type Image struct {
	ID, Owner, Name, Arch string // x86_64 or arm64
	Created               string // as in 2026-01-31T00:00:00.000Z
	GB                    int
}

type instanceType struct {
	arch    string
	vcpus   int
	volumes int
	nvme    string
}

// lookups is what is there before anything is made.
type lookups struct {
	subnets map[string]Subnet
	groups  map[string]Group
	images  map[string]Image
	types   map[string]instanceType
}

func region(name string) lookups {
	ubuntu := "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-"
	return lookups{
		subnets: map[string]Subnet{
			"subnet-0000000a": {"subnet-0000000a", name + "a", "vpc-0000000a", 4000},
			"subnet-0000000b": {"subnet-0000000b", name + "b", "vpc-0000000a", 4000},
		},
		groups: map[string]Group{"sg-0000000a": {"sg-0000000a", "vpc-0000000a", "10.0.0.0/8", []int{22, 2376, 54782}}},
		images: map[string]Image{
			"ami-0000000a": {"ami-0000000a", "123456789012", "rondo-vm", "x86_64", "2026-01-01T00:00:00.000Z", 30},
			"ami-0000000b": {"ami-0000000b", "099720109477", ubuntu + "amd64-server-20260101", "x86_64", "2026-01-01T00:00:00.000Z", 8},
			"ami-0000000c": {"ami-0000000c", "099720109477", ubuntu + "amd64-server-20260301", "x86_64", "2026-03-01T00:00:00.000Z", 8},
			"ami-0000000d": {"ami-0000000d", "099720109477", ubuntu + "arm64-server-20260301", "arm64", "2026-03-01T00:00:00.000Z", 8},
		},
		types: map[string]instanceType{
			"m5.large": {"x86_64", 2, 28, "required"}, "m5.xlarge": {"x86_64", 4, 28, "required"},
			"m6g.large": {"arm64", 2, 28, "required"}, "t2.medium": {"x86_64", 2, 39, "unsupported"},
		},
	}
}

// AddSubnet adds a subnet or changes one.
func (c *Cloud) AddSubnet(s Subnet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookups.subnets[s.ID] = s
}

// AddGroup adds a security group or changes one.
func (c *Cloud) AddGroup(g Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookups.groups[g.ID] = g
}

// AddImage adds an AMI or changes one.
func (c *Cloud) AddImage(i Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookups.images[i.ID] = i
}

func (l lookups) zones() []string {
	var all []string
	for _, s := range l.subnets {
		all = append(all, s.Zone)
	}
	return all
}

// picked are those of the IDs in the request, sorted by ID, or all that pass its
// filters.
func picked[T any](form url.Values, all map[string]T, param, missing string, property func(T, string) (string, bool)) ([]T, *fault) {
	ids := list(form, param)
	if len(ids) == 0 {
		for id := range all {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var out []T
	for _, id := range ids {
		x, ok := all[id]
		if !ok {
			return nil, bad(missing, "'%s' does not exist", id)
		}
		fits, f := filtered(form, nil, func(name string) (string, bool) { return property(x, name) })
		if f != nil {
			return nil, f
		}
		if fits {
			out = append(out, x)
		}
	}
	return out, nil
}

type subnetXML struct {
	ID   string `xml:"subnetId"`
	Zone string `xml:"availabilityZone"`
	VPC  string `xml:"vpcId"`
	Free int    `xml:"availableIpAddressCount"`
}

func (c *Cloud) describeSubnets(form url.Values, _ time.Time) (any, *fault) {
	all, f := picked(form, c.lookups.subnets, "SubnetId", "InvalidSubnetID.NotFound", func(Subnet, string) (string, bool) { return "", false })
	if f != nil {
		return nil, f
	}
	var out struct {
		Items []subnetXML `xml:"subnetSet>item"`
	}
	for _, s := range all {
		free := s.Addresses
		for _, i := range c.instances {
			if i.Subnet == s.ID && i.gone.IsZero() {
				free--
			}
		}
		out.Items = append(out.Items, subnetXML{s.ID, s.Zone, s.VPC, free})
	}
	return out, nil
}

type permissionXML struct {
	Protocol string   `xml:"ipProtocol"`
	From     int      `xml:"fromPort"`
	To       int      `xml:"toPort"`
	Ranges   []string `xml:"ipRanges>item>cidrIp"`
}

type groupXML struct {
	ID    string          `xml:"groupId"`
	VPC   string          `xml:"vpcId"`
	Rules []permissionXML `xml:"ipPermissions>item"`
}

func (c *Cloud) describeGroups(form url.Values, _ time.Time) (any, *fault) {
	all, f := picked(form, c.lookups.groups, "GroupId", "InvalidGroup.NotFound", func(Group, string) (string, bool) { return "", false })
	if f != nil {
		return nil, f
	}
	var out struct {
		Items []groupXML `xml:"securityGroupInfo>item"`
	}
	for _, g := range all {
		x := groupXML{ID: g.ID, VPC: g.VPC}
		for _, p := range g.Ports {
			x.Rules = append(x.Rules, permissionXML{"tcp", p, p, []string{g.From}})
		}
		out.Items = append(out.Items, x)
	}
	return out, nil
}

type imageMappingXML struct {
	Device string `xml:"deviceName"`
	GB     int    `xml:"ebs>volumeSize"`
}

type imageXML struct {
	ID      string            `xml:"imageId"`
	Owner   string            `xml:"imageOwnerId"`
	Name    string            `xml:"name"`
	Arch    string            `xml:"architecture"`
	Created string            `xml:"creationDate"`
	State   string            `xml:"imageState"`
	Root    string            `xml:"rootDeviceName"`
	Disks   []imageMappingXML `xml:"blockDeviceMapping>item"`
}

func (c *Cloud) describeImages(form url.Values, _ time.Time) (any, *fault) {
	all, f := picked(form, c.lookups.images, "ImageId", "InvalidAMIID.NotFound", func(i Image, name string) (string, bool) {
		v, ok := map[string]string{"name": i.Name, "state": "available", "architecture": i.Arch}[name]
		return v, ok
	})
	if f != nil {
		return nil, f
	}
	owners := list(form, "Owner")
	var out struct {
		Items []imageXML `xml:"imagesSet>item"`
	}
	for _, i := range all {
		if len(owners) == 0 || slices.Contains(owners, i.Owner) {
			out.Items = append(out.Items, imageXML{i.ID, i.Owner, i.Name, i.Arch, i.Created, "available", "/dev/sda1", []imageMappingXML{{"/dev/sda1", i.GB}}})
		}
	}
	return out, nil
}

type typeXML struct {
	Name    string   `xml:"instanceType"`
	VCPUs   int      `xml:"vCpuInfo>defaultVCpus"`
	Arches  []string `xml:"processorInfo>supportedArchitectures>item"`
	Nvme    string   `xml:"ebsInfo>nvmeSupport"`
	Volumes int      `xml:"ebsInfo>maximumEbsAttachments"`
	Limit   string   `xml:"ebsInfo>attachmentLimitType"`
}

func (c *Cloud) describeTypes(form url.Values, _ time.Time) (any, *fault) {
	var out struct {
		Items []typeXML `xml:"instanceTypeSet>item"`
	}
	for _, name := range list(form, "InstanceType") {
		t, ok := c.lookups.types[name]
		if !ok {
			return nil, bad("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
		}
		out.Items = append(out.Items, typeXML{name, t.vcpus, []string{t.arch}, t.nvme, t.volumes, "shared"})
	}
	return out, nil
}
