package ec2_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// good are settings that the cloud of ec2test likes.
func good(c *ec2test.Cloud) ec2.Config {
	return ec2.Config{
		Region: "us-west-2", Subnet: "subnet-0000000a", SecurityGroup: "sg-0000000a", Image: "ami-0000000a", InstanceType: "m5.large",
		Auth: ec2.Auth{Way: ec2.Keys, AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "a-secret-key"},
		Net:  ec2.Net{HTTP: c.Client()},
	}
}

var (
	forJob = vmservice.Model{Kind: ci.MachineForJob, Class: "medium"}
	boot   = vmservice.Boot{
		User: "circleci", AuthorizedKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKeyOfTheMachine rondo", Life: 6 * time.Hour,
		Report: "https://ci.example.com/machines/host-key", Token: "one-time", Tags: map[string]string{"team": "blue"},
	}
)

func driver(t *testing.T, cfg ec2.Config) *ec2.Driver {
	t.Helper()
	d, err := ec2.New("ci-1", cfg)
	require.NoError(t, err)
	return d
}

func fault(t *testing.T, err error) *vmservice.Fault {
	t.Helper()
	var f *vmservice.Fault
	require.ErrorAs(t, err, &f)
	return f
}

func states(t *testing.T, d *ec2.Driver) map[string]vmservice.MachineState {
	t.Helper()
	all, err := d.List(t.Context())
	require.NoError(t, err)
	out := map[string]vmservice.MachineState{}
	for _, m := range all {
		out[m.ID] = m.State
	}
	return out
}

func TestVMS02_TheRequestCarriesEverySetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Disk = ec2.Disk{GB: 60, KMSKey: "alias/ci"}
		m, err := driver(t, cfg).Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		require.Equal(t, vmservice.MachineBooting, m.State)
		require.Equal(t, forJob, m.Model)
		require.Equal(t, "us-west-2a", m.Zone)
		form := c.Instances()[0].Request
		for name, want := range map[string]string{
			"ImageId": "ami-0000000a", "InstanceType": "m5.large", "MinCount": "1", "MaxCount": "1",
			"NetworkInterface.1.SubnetId": "subnet-0000000a", "NetworkInterface.1.SecurityGroupId.1": "sg-0000000a",
			"NetworkInterface.1.AssociatePublicIpAddress": "false", "NetworkInterface.1.DeleteOnTermination": "true",
			"MetadataOptions.HttpTokens": "required", "MetadataOptions.HttpPutResponseHopLimit": "1", "MetadataOptions.InstanceMetadataTags": "disabled",
			"InstanceInitiatedShutdownBehavior": "terminate",
			"BlockDeviceMapping.1.DeviceName":   "/dev/sda1", "BlockDeviceMapping.1.Ebs.VolumeType": "gp3", "BlockDeviceMapping.1.Ebs.Encrypted": "true",
			"BlockDeviceMapping.1.Ebs.VolumeSize": "60", "BlockDeviceMapping.1.Ebs.KmsKeyId": "alias/ci", "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true",
			"TagSpecification.1.ResourceType": "instance", "TagSpecification.2.ResourceType": "volume", "TagSpecification.3.ResourceType": "network-interface",
		} {
			require.Equal(t, want, form.Get(name), name)
		}
		require.LessOrEqual(t, len(form.Get("ClientToken")), 64)
		require.False(t, form.Has("IamInstanceProfile.Arn"), "a machine has no role")
		for i := 1; i <= 3; i++ {
			tags := map[string]string{}
			for j := 1; form.Has(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", i, j)); j++ {
				tags[form.Get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", i, j))] = form.Get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Value", i, j))
			}
			require.Equal(t, "circleci-vm-service", tags["ManagedBy"])
			require.Equal(t, "ci-1", tags[vmservice.TagInstall])
			require.Equal(t, "k1", tags[vmservice.TagKey])
			require.Equal(t, "blue", tags["team"])
			require.Equal(t, "machine", tags["rondo-kind"])
		}
	})
}

func TestVMS03_WithoutAnImageTheDefaultIsTheNewestUbuntu(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Image = ""
		cfg.Images = map[string]string{"android:2026": "ami-0000000a"}
		cfg.Classes = map[string]ec2.Class{"arm.medium": {Types: []string{"m6g.large"}}}
		d := driver(t, cfg)
		for i, want := range []struct {
			m     vmservice.Model
			image string
		}{
			{forJob, "ami-0000000c"},
			{vmservice.Model{Kind: ci.MachineForDocker, Class: "medium"}, "ami-0000000c"},
			{vmservice.Model{Kind: ci.MachineForJob, Image: "android:2026"}, "ami-0000000a"},
			{vmservice.Model{Kind: ci.MachineForJob, Image: "ubuntu-2204:current"}, "ami-0000000c"},
			{vmservice.Model{Kind: ci.MachineForJob, Class: "arm.medium", Arch: "arm64"}, "ami-0000000d"},
		} {
			_, err := d.Create(t.Context(), fmt.Sprint("k", i), want.m, boot)
			require.NoError(t, err)
			require.Equal(t, want.image, c.Instances()[i].Image)
		}
		c.AddImage(ec2test.Image{ID: "ami-0000000e", Owner: "someone", Name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20270101", Arch: "x86_64", Created: "2027"})
		_, err := driver(t, cfg).Create(t.Context(), "later", forJob, boot)
		require.NoError(t, err)
		require.Equal(t, "ami-0000000c", c.Instances()[5].Image, "an image of somebody else who took the name")
	})
}

func TestUserData_NoSecretAndALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		d := driver(t, good(c))
		_, err := d.Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		data := c.Instances()[0].UserData
		require.True(t, strings.HasPrefix(data, "#cloud-config\n"))
		require.Contains(t, data, `"circleci"`)
		require.Contains(t, data, boot.AuthorizedKey)
		require.Contains(t, data, "--on-active=21600s /bin/systemctl poweroff")
		require.Contains(t, data, `https://ci.example.com/machines/host-key`)
		for _, secret := range []string{"a-secret-key", "AKIAIOSFODNN7EXAMPLE", "PRIVATE"} {
			require.NotContains(t, data, secret)
		}
		private := boot
		private.AuthorizedKey = "-----BEGIN OPENSSH PRIVATE KEY-----"
		_, err = d.Create(t.Context(), "k2", forJob, private)
		require.ErrorIs(t, err, ci.ErrInvalid)
		cfg := good(c)
		cfg.Net.CA = strings.Repeat("x", 17<<10)
		_, err = driver(t, cfg).Create(t.Context(), "k3", forJob, boot)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, "16384")
	})
}

func TestP10_TheSameKeyIsTheSameMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{Lag: time.Minute})
		c.Script(ec2test.Rule{Action: "RunInstances", Times: 3, Lost: true}) // each try of the SDK
		d := driver(t, good(c))
		_, err := d.Create(t.Context(), "k1", forJob, boot)
		require.Equal(t, vmservice.FaultTransient, fault(t, err).Class)
		first, err := d.Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		again, err := driver(t, good(c)).Create(t.Context(), "k1", forJob, boot) // another server
		require.NoError(t, err)
		require.Equal(t, first.ID, again.ID)
		require.Len(t, c.Instances(), 1)

		other := boot
		other.AuthorizedKey += "2"
		_, err = d.Create(t.Context(), "k1", forJob, other)
		f := fault(t, err)
		require.Equal(t, "IdempotentParameterMismatch", f.Code)
		require.Equal(t, vmservice.FaultTransient, f.Class)
		time.Sleep(time.Minute)
		had, err := d.Create(t.Context(), "k1", forJob, other)
		require.NoError(t, err)
		require.Equal(t, first.ID, had.ID)
		require.Len(t, c.Instances(), 1)
	})
}

// A machine whose answer was lost in the second subnet is not made again in the
// first, which has room by then.
func TestP10_ALostAnswerIsNotSoughtElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Subnets = []string{"subnet-0000000b"}
		c.Room("m5.large", "us-west-2a", 0)
		inB := func(f url.Values) bool { return f.Get("NetworkInterface.1.SubnetId") == "subnet-0000000b" }
		c.Script(ec2test.Rule{Action: "RunInstances", When: inB, Times: 3, Lost: true})
		_, err := driver(t, cfg).Create(t.Context(), "k1", forJob, boot)
		require.Equal(t, vmservice.FaultTransient, fault(t, err).Class)
		c.Heal()
		m, err := driver(t, cfg).Create(t.Context(), "k1", forJob, boot) // after a restart
		require.NoError(t, err)
		require.Equal(t, "us-west-2b", m.Zone)
		require.Len(t, c.Instances(), 1)
	})
}

func TestList_LagPagesAndTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{Lag: 50 * time.Second, Page: 5})
		d := driver(t, good(c))
		stranger, err := ec2.New("ci-2", good(c))
		require.NoError(t, err)
		theirs, err := stranger.Create(t.Context(), "theirs", forJob, boot)
		require.NoError(t, err)
		for i := range 12 {
			_, err := d.Create(t.Context(), fmt.Sprint("k", i), forJob, boot)
			require.NoError(t, err)
		}
		require.Len(t, states(t, d), 12, "made a moment ago")
		time.Sleep(time.Minute)
		calls := c.Calls("DescribeInstances")
		now := states(t, d)
		require.Equal(t, 3, c.Calls("DescribeInstances")-calls, "pages of five")
		require.Len(t, now, 12)
		require.NotContains(t, now, theirs.ID)
		for id, s := range now {
			require.Equal(t, vmservice.MachineRunning, s)
			require.NoError(t, d.Destroy(t.Context(), id))
			require.NoError(t, d.Destroy(t.Context(), id), "twice")
		}
		require.ErrorIs(t, d.Destroy(t.Context(), theirs.ID), ci.ErrDenied)
		time.Sleep(time.Minute)
		for _, s := range states(t, d) {
			require.Equal(t, vmservice.MachineGone, s)
		}
		time.Sleep(2 * time.Hour)
		require.Empty(t, states(t, d))
		require.NoError(t, d.Destroy(t.Context(), "i-00000000000000abc"), "unknown")
		require.NoError(t, d.Destroy(t.Context(), "nonsense"))
		require.Len(t, c.Alive(), 1)
	})
}

func TestDestroy_BeforeAmazonKnowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{Lag: 40 * time.Second})
		d := driver(t, good(c))
		m, err := d.Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, d.Destroy(short, m.ID), context.DeadlineExceeded)
		require.NoError(t, d.Destroy(t.Context(), m.ID), "it waits")
		time.Sleep(time.Minute)
		require.Empty(t, c.Alive())
	})
}

func TestVMS11_CapacityGoesElsewhereAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Subnets = []string{"subnet-0000000b"}
		cfg.Classes = map[string]ec2.Class{"medium": {Types: []string{"m5.large", "m5.xlarge"}}}
		d := driver(t, cfg)
		for _, typ := range []string{"m5.large", "m5.xlarge"} {
			c.Room(typ, "us-west-2a", 0)
		}
		c.Room("m5.large", "us-west-2b", 0)
		m, err := d.Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		require.Equal(t, "us-west-2b", m.Zone)
		require.Equal(t, "m5.xlarge", c.Instances()[0].Type)
		c.Room("m5.xlarge", "us-west-2b", 0)
		_, err = d.Create(t.Context(), "k2", forJob, boot)
		f := fault(t, err)
		require.Equal(t, vmservice.FaultCapacity, f.Class)
		require.Equal(t, "InsufficientInstanceCapacity", f.Code)
		calls := c.Calls("RunInstances")
		_, err = d.Create(t.Context(), "k2", forJob, boot)
		f = fault(t, err)
		require.Equal(t, vmservice.FaultCapacity, f.Class)
		require.Positive(t, f.After)
		require.Equal(t, calls, c.Calls("RunInstances"), "no place was asked again so soon")
		c.Heal()
		time.Sleep(f.After)
		_, err = d.Create(t.Context(), "k2", forJob, boot)
		require.NoError(t, err)
		require.Len(t, c.Instances(), 2)
	})
}

func TestSpot_FirstAndThenOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		cfg := good(c)
		cfg.Spot = []ci.MachineKind{ci.MachineForJob}
		d := driver(t, cfg)
		isSpot := func(f url.Values) bool { return f.Get("InstanceMarketOptions.MarketType") == "spot" }
		_, err := d.Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		require.Equal(t, "terminate", c.Instances()[0].Request.Get("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"))
		c.Script(ec2test.Rule{Action: "RunInstances", When: isSpot, Code: "InsufficientInstanceCapacity"})
		_, err = d.Create(t.Context(), "k2", forJob, boot)
		require.NoError(t, err)
		_, err = d.Create(t.Context(), "k3", vmservice.Model{Kind: ci.MachineForDocker}, boot)
		require.NoError(t, err)
		var spot []bool
		for _, i := range c.Instances() {
			spot = append(spot, i.Spot)
		}
		require.Equal(t, []bool{true, false, false}, spot)
	})
}

func TestFaults_ByCode(t *testing.T) {
	for code, want := range map[string]vmservice.Fault{
		"InsufficientInstanceCapacity":      {Class: vmservice.FaultCapacity},
		"Unsupported":                       {Class: vmservice.FaultCapacity},
		"InsufficientFreeAddressesInSubnet": {Class: vmservice.FaultCapacity},
		"VcpuLimitExceeded":                 {Class: vmservice.FaultQuota},
		"InstanceLimitExceeded":             {Class: vmservice.FaultQuota},
		"MaxSpotInstanceCountExceeded":      {Class: vmservice.FaultQuota, Setting: "spot"},
		"UnauthorizedOperation":             {Class: vmservice.FaultSettings, Setting: "aws_authentication"},
		"AuthFailure":                       {Class: vmservice.FaultSettings, Setting: "aws_authentication"},
		"InvalidAMIID.NotFound":             {Class: vmservice.FaultSettings, Setting: "custom_vm_ami"},
		"InvalidAMIID.Malformed":            {Class: vmservice.FaultSettings, Setting: "custom_vm_ami"},
		"InvalidSubnetID.NotFound":          {Class: vmservice.FaultSettings, Setting: "ec2_subnet_id"},
		"InvalidGroup.NotFound":             {Class: vmservice.FaultSettings, Setting: "ec2_security_group_id"},
		"SomethingNew":                      {Class: vmservice.FaultSettings},
		"RequestLimitExceeded":              {Class: vmservice.FaultTransient},
		"InternalError":                     {Class: vmservice.FaultTransient},
		"Unavailable":                       {Class: vmservice.FaultTransient},
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := ec2test.New(ec2test.Config{})
				c.Script(ec2test.Rule{Action: "RunInstances", Code: code, Message: "says Amazon"})
				_, err := driver(t, good(c)).Create(t.Context(), "k1", forJob, boot)
				f := fault(t, err)
				require.Equal(t, want.Class, f.Class)
				require.Equal(t, code, f.Code)
				if want.Setting != "" {
					require.Equal(t, want.Setting, f.Setting)
					require.Contains(t, err.Error(), map[bool]string{true: want.Setting, false: ""}[want.Class == vmservice.FaultSettings])
				}
				require.Contains(t, err.Error(), "create machine k1")
				require.Empty(t, c.Instances())
			})
		})
	}
}

func TestFaults_LaunchedAndDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		d := driver(t, good(c))
		m, err := d.Create(t.Context(), "k1", forJob, boot)
		require.NoError(t, err)
		require.True(t, c.Kill(m.ID, "Client.InternalError", "Client.InternalError: Client error on launch"))
		time.Sleep(time.Minute)
		all, err := d.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, vmservice.MachineGone, all[0].State)
		require.Contains(t, all[0].Why, "disk.kms_key")
	})
}

func TestFaults_ADecodingHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{})
		c.Deny("RunInstances")
		_, err := driver(t, good(c)).Create(t.Context(), "k1", forJob, boot)
		require.ErrorIs(t, err, ci.ErrDenied)
		require.ErrorContains(t, err, "aws sts decode-authorization-message --encoded-message aGlkZGVu-RunInstances")
		require.NotContains(t, err.Error(), "Encoded authorization failure")
	})
}

func TestThrottled_TheDriverSlowsDownAndGetsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ec2test.New(ec2test.Config{Buckets: map[string]ec2test.Bucket{"RunInstances": {Size: 3, PerSecond: 2}}})
		d := driver(t, good(c))
		for i := range 20 {
			for {
				_, err := d.Create(t.Context(), fmt.Sprint("k", i), forJob, boot)
				if err == nil {
					break
				}
				f := fault(t, err)
				require.Equal(t, vmservice.FaultTransient, f.Class)
				time.Sleep(f.After)
			}
		}
		require.Len(t, c.Instances(), 20)
		require.Less(t, c.Calls("RunInstances"), 60)
	})
}

func TestVMS04_TheTwoWaysOfAuthentication(t *testing.T) {
	t.Run("instance profile, by IMDSv2", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := ec2test.New(ec2test.Config{Keys: map[string]string{}})
			c.Role("rondo")
			cfg := good(c)
			cfg.Auth = ec2.Auth{Way: ec2.InstanceProfile}
			d := driver(t, cfg)
			_, err := d.Create(t.Context(), "k1", forJob, boot)
			require.NoError(t, err)
			_, err = d.List(t.Context())
			require.NoError(t, err)
			all, without := c.MetadataCalls()
			require.Zero(t, without)
			require.Positive(t, all)
			time.Sleep(6 * time.Hour) // the credentials have ended
			_, err = d.List(t.Context())
			require.NoError(t, err)
			again, _ := c.MetadataCalls()
			require.Greater(t, again, all)
		})
	})
	t.Run("no role", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := ec2test.New(ec2test.Config{})
			cfg := good(c)
			cfg.Auth = ec2.Auth{}
			_, err := driver(t, cfg).List(t.Context())
			f := fault(t, err)
			require.Equal(t, vmservice.FaultSettings, f.Class)
			require.Equal(t, "aws_authentication", f.Setting)
			require.ErrorContains(t, err, "IMDSv2")
		})
	})
	t.Run("keys", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := ec2test.New(ec2test.Config{Keys: map[string]string{"AKIAIOSFODNN7EXAMPLE": "a-secret-key"}})
			_, err := driver(t, good(c)).List(t.Context())
			require.NoError(t, err)
			all, _ := c.MetadataCalls()
			require.Zero(t, all)
			wrong := good(c)
			wrong.Auth.AccessKey = "AKIAIOSFODNN7EXAMPLF"
			_, err = driver(t, wrong).List(t.Context())
			require.Equal(t, "aws_authentication", fault(t, err).Setting)
			require.NotContains(t, err.Error(), "a-secret-key")
		})
	})
}

func TestCheckOfConfig_EachFieldIsNamed(t *testing.T) {
	valid := good(ec2test.New(ec2test.Config{}))
	require.NoError(t, valid.Check())
	for _, c := range []struct {
		id, want string
		break_   func(*ec2.Config)
	}{
		{"VMS02", "aws_region is missing: write one such as us-west-2", func(c *ec2.Config) { c.Region = "" }},
		{"VMS02", `aws_region "Oregon" is none`, func(c *ec2.Config) { c.Region = "Oregon" }},
		{"VMS02", "ec2_subnet_id is missing", func(c *ec2.Config) { c.Subnet = "" }},
		{"VMS02", `ec2_subnet_id "10.0.0.0/24" is none`, func(c *ec2.Config) { c.Subnet = "10.0.0.0/24" }},
		{"VMS02", `subnets[0] "sg-0000000a" is none`, func(c *ec2.Config) { c.Subnets = []string{"sg-0000000a"} }},
		{"VMS02", "ec2_security_group_id is missing", func(c *ec2.Config) { c.SecurityGroup = "" }},
		{"VMS02", `ec2_security_group_id "default" is none`, func(c *ec2.Config) { c.SecurityGroup = "default" }},
		{"VMS02", "aws_instance_type is missing", func(c *ec2.Config) { c.InstanceType = "" }},
		{"VMS02", `aws_instance_type "large" is none`, func(c *ec2.Config) { c.InstanceType = "large" }},
		{"VMS03", `custom_vm_ami "ubuntu" is none`, func(c *ec2.Config) { c.Image = "ubuntu" }},
		{"VMS03", `images.android "x" is none`, func(c *ec2.Config) { c.Images = map[string]string{"android": "x"} }},
		{"VMS04", `aws_authentication "role" is neither instance_profile nor keys`, func(c *ec2.Config) { c.Auth.Way = "role" }},
		{"VMS04", "access_key is missing", func(c *ec2.Config) { c.Auth.AccessKey = "" }},
		{"VMS04", "access_key has not the form of one", func(c *ec2.Config) { c.Auth.AccessKey = "abc/def+secret" }},
		{"VMS04", "secret_key is missing", func(c *ec2.Config) { c.Auth.SecretKey = "" }},
		{"VMS04", "secret_key has blanks", func(c *ec2.Config) { c.Auth.SecretKey = "a b" }},
		{"VMS04", "aws_authentication is instance_profile: leave out", func(c *ec2.Config) { c.Auth.Way = ec2.InstanceProfile }},
		{"", "classes.large.types is missing", func(c *ec2.Config) { c.Classes = map[string]ec2.Class{"large": {}} }},
		{"", `classes.large.types[0] "big" is none`, func(c *ec2.Config) { c.Classes = map[string]ec2.Class{"large": {Types: []string{"big"}}} }},
		{"", "disk.size_gb is 4", func(c *ec2.Config) { c.Disk.GB = 4 }},
		{"", `spot "all" is neither`, func(c *ec2.Config) { c.Spot = []ci.MachineKind{"all"} }},
		{"", "endpoint is no address", func(c *ec2.Config) { c.Net.Endpoint = "vpce" }},
	} {
		t.Run(c.id+" "+c.want, func(t *testing.T) {
			cfg := valid
			c.break_(&cfg)
			err := cfg.Check()
			require.ErrorIs(t, err, ci.ErrInvalid)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "abc/def+secret")
			require.NotContains(t, err.Error(), "\n", "one field, one line")
			_, err = ec2.New("ci-1", cfg)
			require.ErrorIs(t, err, ci.ErrInvalid)
		})
	}
	err := ec2.Config{}.Check()
	require.Len(t, strings.Split(err.Error(), "\n"), 4, "all that is wrong at once: %v", err)
}
