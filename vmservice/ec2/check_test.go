package ec2_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// seen runs a check and returns its lines by subject, the worst of each.
func seen(t *testing.T, cfg ec2.Config) map[string]vmservice.Advice {
	t.Helper()
	all, err := driver(t, cfg).Check(t.Context())
	require.NoError(t, err)
	out := map[string]vmservice.Advice{}
	for _, a := range all {
		if had, ok := out[a.Subject]; !ok || had.Verdict == vmservice.VerdictGood || a.Verdict == vmservice.VerdictBad {
			out[a.Subject] = a
		}
	}
	return out
}

func TestCheck_AllIsWellAndNothingIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Classes = map[string]ec2.Class{"arm.medium": {Types: []string{"m6g.large"}, Image: "ami-0000000d"}}
		d := driver(t, cfg)
		_, err := d.Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		_, err = d.CreateVolume(t.Context(), "v1", 10, "", nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		for subject, a := range seen(t, cfg) {
			require.Equal(t, vmservice.VerdictGood, a.Verdict, "%s: %s", subject, a.Text)
		}
		require.Len(t, c.Instances(), 1)
		require.Equal(t, "running", c.Instances()[0].State)
		require.Len(t, c.Volumes(), 1)
		require.NotContains(t, c.Instances()[0].Tags, "check")
	})
}

func TestCheck_EachMistakeNamesItsSetting(t *testing.T) {
	for _, c := range []struct {
		name, subject, setting, text string
		break_                       func(*ec2test.Cloud, *ec2.Config)
	}{
		{"VMS02 cross-region subnet", "subnets", "ec2_subnet_id", "another region", func(_ *ec2test.Cloud, s *ec2.Config) { s.Subnet = "subnet-0000000f" }},
		{"VMS02 group of another VPC", "security group sg-0000000b", "ec2_security_group_id", "vpc-0000000b", func(c *ec2test.Cloud, s *ec2.Config) {
			c.AddGroup(ec2test.Group{ID: "sg-0000000b", VPC: "vpc-0000000b"})
			s.SecurityGroup = "sg-0000000b"
		}},
		{"VMS02 closed port", "security group sg-0000000a", "ec2_security_group_id", "2376 (remote Docker)", func(c *ec2test.Cloud, _ *ec2.Config) {
			c.AddGroup(ec2test.Group{ID: "sg-0000000a", VPC: "vpc-0000000a", From: "10.0.0.0/8", Ports: []int{22, 54782}})
		}},
		{"full subnet", "subnet subnet-0000000a", "ec2_subnet_id", "no free address", func(c *ec2test.Cloud, _ *ec2.Config) {
			c.AddSubnet(ec2test.Subnet{ID: "subnet-0000000a", Zone: "us-west-2a", VPC: "vpc-0000000a"})
		}},
		{"VMS02 unknown type", "all other classes", "aws_instance_type", "x9.huge", func(_ *ec2test.Cloud, s *ec2.Config) { s.InstanceType = "x9.huge" }},
		{"VMS03 image of another architecture", "all other classes", "custom_vm_ami", "is for amd64, and m6g.large runs arm64", func(_ *ec2test.Cloud, s *ec2.Config) { s.InstanceType = "m6g.large" }},
		{"VMS03 unknown image", "all other classes", "custom_vm_ami", "no such image", func(_ *ec2test.Cloud, s *ec2.Config) { s.Image = "ami-0123456789abcdef0" }},
		{"small disk", "all other classes", "disk.size_gb", "needs 30", func(_ *ec2test.Cloud, s *ec2.Config) { s.Disk.GB = 20 }},
		{"missing right", "ec2:TerminateInstances", "aws_authentication", "decode-authorization-message", func(c *ec2test.Cloud, _ *ec2.Config) { c.Deny("TerminateInstances") }},
		{"VMS04 no role", "credentials", "aws_authentication", "attach one to the machine", func(_ *ec2test.Cloud, s *ec2.Config) { s.Auth = ec2.Auth{} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud := ec2test.New(ec2test.Config{})
				cfg := good(cloud)
				c.break_(cloud, &cfg)
				a := seen(t, cfg)[c.subject]
				require.Equal(t, vmservice.VerdictBad, a.Verdict, "%+v", a)
				require.Equal(t, c.setting, a.Setting)
				require.Contains(t, a.Text, c.text)
			})
		})
	}
}

func TestCheck_WhatCannotBeKnownIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		c.AddGroup(ec2test.Group{ID: "sg-0000000a", VPC: "vpc-0000000a", From: "0.0.0.0/0", Ports: []int{22, 2376, 54782}})
		all := seen(t, good(c))
		require.Equal(t, vmservice.VerdictWarn, all["ec2:TerminateInstances"].Verdict)
		require.Equal(t, vmservice.VerdictWarn, all["security group sg-0000000a"].Verdict)
		require.Equal(t, vmservice.VerdictGood, all["ec2:RunInstances"].Verdict)
		require.True(t, strings.Contains(all["all other classes"].Text, "vCPU") || strings.Contains(all["all other classes"].Text, "image"))
	})
}
