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

// check collects what is seen.
type check struct {
	*Driver
	found []vmservice.Advice
}

func (c *check) good(subject, format string, args ...any) {
	c.add(subject, vmservice.VerdictGood, "", format, args...)
}

func (c *check) add(subject string, v vmservice.Verdict, setting, format string, args ...any) {
	c.found = append(c.found, vmservice.Advice{Subject: subject, Verdict: v, Setting: setting, Text: fmt.Sprintf(format, args...)})
}

// fault adds what an error says.
func (c *check) fault(subject, setting string, err error) {
	f, _ := err.(*vmservice.Fault)
	switch {
	case f == nil:
	case f.Class == vmservice.FaultTransient:
		c.add(subject, vmservice.VerdictWarn, "", "could not be found out: %s", f)
		return
	default:
		setting = cmp.Or(f.Setting, setting)
	}
	c.add(subject, vmservice.VerdictBad, setting, "%s", err)
}

// Check finds out, without making anything, whether machines will boot: the
// subnets, the group, the images and types of all classes, and each call that
// the driver makes, which Amazon judges and does not do (DryRun). It asks about
// twenty things one after the other.
func (d *Driver) Check(ctx context.Context) ([]vmservice.Advice, error) {
	c := &check{Driver: d}
	if _, err := d.client.Options().Credentials.Retrieve(ctx); err != nil {
		c.fault("credentials", "aws_authentication", explain("credentials", fmt.Errorf("get credentials: %w", err)))
		return c.found, ctx.Err()
	}
	c.good("credentials", "%s", cmp.Or(d.cfg.Auth.Way, InstanceProfile))
	nets, err := d.lookNetwork(ctx)
	if err != nil {
		c.fault("subnets", "ec2_subnet_id", err)
	}
	c.network(nets)
	c.group(ctx, nets)
	names := sortedKeys(d.cfg.Classes)
	if !slices.Contains(names, "") {
		names = append([]string{""}, names...)
	}
	for _, name := range names {
		c.class(ctx, name)
	}
	if len(nets) > 0 {
		c.rights(ctx, nets)
	}
	return c.found, ctx.Err()
}

// network judges the subnets.
func (c *check) network(nets []subnet) {
	for i, s := range nets {
		setting := "ec2_subnet_id"
		if i > 0 {
			setting = "subnets"
		}
		switch {
		case s.VPC != nets[0].VPC:
			c.add("subnet "+s.ID, vmservice.VerdictBad, setting, "is in %s, and %s in %s: one security group can't be of both", s.VPC, nets[0].ID, nets[0].VPC)
		case s.Free == 0:
			c.add("subnet "+s.ID, vmservice.VerdictBad, setting, "has no free address: add another to subnets")
		case s.Free < 16:
			c.add("subnet "+s.ID, vmservice.VerdictWarn, setting, "has %d free addresses, and so at most as many machines", s.Free)
		default:
			c.good("subnet "+s.ID, "in %s, %d free addresses", s.Zone, s.Free)
		}
	}
}

// ports are what has to be open on machines, with the reason.
var ports = []struct {
	port int32
	why  string
}{{22, "SSH of the agents"}, {2376, "remote Docker"}, {54782, "people who enter a build by SSH"}}

// group judges the security group.
func (c *check) group(ctx context.Context, nets []subnet) {
	const setting = "ec2_security_group_id"
	subject := "security group " + c.cfg.SecurityGroup
	out, err := c.client.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{c.cfg.SecurityGroup}})
	if err != nil {
		c.fault(subject, setting, explain("look it up", err))
		return
	}
	if len(out.SecurityGroups) != 1 {
		c.add(subject, vmservice.VerdictBad, setting, "is not in region %s", c.cfg.Region)
		return
	}
	g := out.SecurityGroups[0]
	if len(nets) > 0 && aws.ToString(g.VpcId) != nets[0].VPC {
		c.add(subject, vmservice.VerdictBad, setting, "is of %s, and subnet %s of %s: name a group of that VPC", aws.ToString(g.VpcId), nets[0].ID, nets[0].VPC)
		return
	}
	var closed []string
	for _, p := range ports {
		from := sources(g, p.port)
		if len(from) == 0 {
			closed = append(closed, fmt.Sprintf("%d (%s)", p.port, p.why))
		}
		if slices.ContainsFunc(from, func(s string) bool { return s == "0.0.0.0/0" || s == "::/0" }) {
			c.add(subject, vmservice.VerdictWarn, setting, "opens port %d to the whole internet: the group of the agents is enough", p.port)
		}
	}
	if len(closed) > 0 {
		c.add(subject, vmservice.VerdictBad, setting, "lets nobody in on TCP port %s: add rules that do, from where the agents run", strings.Join(closed, ", "))
		return
	}
	c.good(subject, "ports 22, 2376 and 54782 are open")
}

// sources returns who may reach a port.
func sources(g types.SecurityGroup, port int32) []string {
	var from []string
	for _, p := range g.IpPermissions {
		all := aws.ToString(p.IpProtocol) == "-1"
		if !all && (aws.ToString(p.IpProtocol) != "tcp" || port < aws.ToInt32(p.FromPort) || port > aws.ToInt32(p.ToPort)) {
			continue
		}
		for _, r := range p.IpRanges {
			from = append(from, aws.ToString(r.CidrIp))
		}
		for _, r := range p.Ipv6Ranges {
			from = append(from, aws.ToString(r.CidrIpv6))
		}
		for _, r := range p.UserIdGroupPairs {
			from = append(from, aws.ToString(r.GroupId))
		}
		for _, r := range p.PrefixListIds {
			from = append(from, aws.ToString(r.PrefixListId))
		}
	}
	return from
}

// class judges image and types of a resource class, "" for those that have no
// line of their own.
func (c *check) class(ctx context.Context, name string) {
	k := c.cfg.class(name)
	subject, settingImage, settingType := "class "+name, "classes."+name+".custom_vm_ami", "classes."+name+".types"
	if name == "" {
		subject = "all other classes"
	}
	if k.Image == "" {
		settingImage = "custom_vm_ami"
	}
	if _, own := c.cfg.Classes[name]; !own {
		settingType = "aws_instance_type"
	}
	var arch string
	for i, t := range k.Types {
		info, err := c.typeOf(ctx, "look up type "+t, t)
		if err != nil {
			c.fault(subject, settingType, err)
			return
		}
		if i == 0 && len(info.Arches) > 0 {
			arch = info.Arches[0]
		}
		if !slices.Contains(info.Arches, arch) {
			c.add(subject, vmservice.VerdictBad, settingType, "%s runs %s, and %s before it %s: one image can't be for both", t, strings.Join(info.Arches, " and "), k.Types[0], arch)
			return
		}
		text := fmt.Sprintf("%s has %d vCPUs: Amazon's quota of running vCPUs for its family, under Service Quotas in the console, must hold %[2]d for each machine", t, info.VCPUs)
		if info.Volumes > 0 {
			text += fmt.Sprintf("; it takes %d volumes", info.Volumes)
			if info.Shared {
				text += ", network interfaces counted"
			}
		}
		c.good(subject, "%s", text)
	}
	img, err := c.image(ctx, "look up image", vmservice.Model{Class: name, Arch: arch})
	switch {
	case err != nil:
		c.fault(subject, settingImage, err)
	case img.Arch != arch:
		c.add(subject, vmservice.VerdictBad, settingImage, "%s is for %s, and %s runs %s", img.ID, img.Arch, k.Types[0], arch)
	case img.RootGB > c.cfg.diskGB():
		c.add(subject, vmservice.VerdictBad, "disk.size_gb", "is %d, and %s needs %d", c.cfg.diskGB(), img.ID, img.RootGB)
	default:
		c.good(subject, "image %s %s, %s", img.ID, img.Name, img.Arch)
	}
}

// rights asks about each call. For those that need a machine or a volume it
// takes one of ours, which nothing happens to; without one some answers stay
// open.
func (c *check) rights(ctx context.Context, nets []subnet) {
	machine, vol := "i-00000000000000000", "vol-00000000000000000"
	if all, err := c.List(ctx); err == nil {
		for _, m := range all {
			if m.State == vmservice.MachineRunning {
				machine = m.ID
			}
		}
	}
	if all, err := c.Volumes(ctx); err == nil && len(all) > 0 {
		vol = all[0].ID
	}
	dry := aws.Bool(true)
	run, err := c.launch(ctx, "check", vmservice.Model{Kind: ci.MachineForJob}, vmservice.Boot{User: "circleci", AuthorizedKey: "ssh-ed25519 AAAA", Life: time.Hour})
	if err == nil {
		run.DryRun, run.InstanceType = dry, types.InstanceType(c.cfg.InstanceType)
		run.NetworkInterfaces[0].SubnetId = aws.String(nets[0].ID)
		_, err = c.client.RunInstances(ctx, &run)
		c.right("ec2:RunInstances", err)
	}
	specs, err := c.tagSpecs("check", map[string]string{tagName: "rondo layers"}, types.ResourceTypeVolume)
	if err != nil {
		c.fault("ec2:CreateVolume", "", err)
		return
	}
	create := &ec2.CreateVolumeInput{DryRun: dry, AvailabilityZone: aws.String(nets[0].Zone), Size: aws.Int32(1), VolumeType: types.VolumeTypeGp3,
		Encrypted: aws.Bool(true), TagSpecifications: specs}
	_, err = c.client.CreateVolume(ctx, create)
	c.right("ec2:CreateVolume", err)
	_, err = c.client.CreateTags(ctx, &ec2.CreateTagsInput{DryRun: dry, Resources: []string{machine}, Tags: specs[0].Tags})
	c.right("ec2:CreateTags", err)
	_, err = c.client.AttachVolume(ctx, &ec2.AttachVolumeInput{DryRun: dry, VolumeId: &vol, InstanceId: &machine, Device: aws.String("/dev/sdf")})
	c.right("ec2:AttachVolume", err)
	_, err = c.client.DetachVolume(ctx, &ec2.DetachVolumeInput{DryRun: dry, VolumeId: &vol})
	c.right("ec2:DetachVolume", err)
	_, err = c.client.DeleteVolume(ctx, &ec2.DeleteVolumeInput{DryRun: dry, VolumeId: &vol})
	c.right("ec2:DeleteVolume", err)
	_, err = c.client.TerminateInstances(ctx, &ec2.TerminateInstancesInput{DryRun: dry, InstanceIds: []string{machine}})
	c.right("ec2:TerminateInstances", err)
	_, err = c.client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{DryRun: dry})
	c.right("ec2:DescribeInstances", err)
	_, err = c.client.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{DryRun: dry})
	c.right("ec2:DescribeVolumes", err)
}

// right judges what came of a dry run: there is always an error, and that it
// would have been done is one of them.
func (c *check) right(name string, err error) {
	switch {
	case is(err, "DryRunOperation"):
		c.good(name, "allowed")
	case is(err, "InvalidInstanceID*", "InvalidVolume*", "InvalidID*", "IncorrectState"):
		c.add(name, vmservice.VerdictWarn, "", "not known: Amazon judges this for a machine or volume that exists, so check again when there is one")
	case err == nil:
		c.add(name, vmservice.VerdictWarn, "", "not known: the endpoint does not know dry runs")
	default:
		c.fault(name, "aws_authentication", explain(name, err))
	}
}
