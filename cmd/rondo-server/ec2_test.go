package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

const goodEC2 = `provider: ec2
  aws_region: us-west-2
  ec2_subnet_id: subnet-0000000a
  ec2_security_group_id: sg-0000000a
  aws_instance_type: m5.large
`

func TestVMS02_VMS03_VMS04_SettingsOfEC2(t *testing.T) {
	const head = "url: https://ci\ndata: d\nmachines:\n  "
	s, err := parseSettings([]byte(head + goodEC2 + `
  aws_authentication: keys
  access_key: env:AWS_ACCESS_KEY_ID
  secret_key: env:AWS_SECRET_ACCESS_KEY
  custom_vm_ami: ami-0000000a
  subnets: [subnet-0000000b]
  classes: [{name: large, vcpus: 4, types: [m5.xlarge]}, {name: medium, vcpus: 2}]
  images: {android: ami-0000000b}
  disk: {size_gb: 60, kms_key: alias/ci}
  spot: [machine]
  public_address: true
`))
	require.NoError(t, err)
	require.Equal(t, ec2.Config{
		Region: "us-west-2", Subnet: "subnet-0000000a", Subnets: []string{"subnet-0000000b"}, SecurityGroup: "sg-0000000a",
		Image: "ami-0000000a", InstanceType: "m5.large", Auth: ec2.Auth{Way: ec2.Keys},
		Classes: map[string]ec2.Class{"large": {Types: []string{"m5.xlarge"}}}, Images: map[string]string{"android": "ami-0000000b"},
		Disk: ec2.Disk{GB: 60, KMSKey: "alias/ci"}, Spot: []ci.MachineKind{ci.MachineForJob}, Net: ec2.Net{Public: true},
	}, s.Machines.ec2())
	for change, want := range map[string]string{
		"aws_region: us-west-2|":                                                    "machines.aws_region is missing",
		"aws_region: us-west-2|aws_region: Oregon":                                  `machines.aws_region "Oregon"`,
		"ec2_subnet_id: subnet-0000000a|":                                           "machines.ec2_subnet_id is missing",
		"ec2_security_group_id: sg-0000000a|":                                       "machines.ec2_security_group_id is missing",
		"aws_instance_type: m5.large|":                                              "machines.aws_instance_type is missing",
		"provider: ec2|provider: ec2\n  custom_vm_ami: ubuntu":                      `machines.custom_vm_ami "ubuntu"`,
		"provider: ec2|provider: ec2\n  aws_authentication: role":                   `machines.aws_authentication "role"`,
		"provider: ec2|provider: ec2\n  aws_authentication: keys":                   "machines.access_key is missing: write env:NAME or file:PATH",
		"provider: ec2|provider: ec2\n  access_key: env:K":                          "machines.aws_authentication is instance_profile: leave out access_key",
		"provider: ec2|provider: ec2\n  secret_key: wJalrXUtnFEMI":                  "machines.secret_key: write env:NAME or file:PATH, not the secret itself",
		"provider: ec2|provider: ec2\n  classes: [{name: a, vcpus: 1, types: [x]}]": `machines.classes.a.types[0] "x"`,
	} {
		old, now, _ := strings.Cut(change, "|")
		_, err := parseSettings([]byte(head + strings.Replace(goodEC2, old, now, 1)))
		require.ErrorContains(t, err, want, change)
		require.NotContains(t, err.Error(), "wJalrXUtnFEMI")
	}
}

func TestVMS02_PreflightPrintsATable(t *testing.T) {
	cloud := ec2test.New(ec2test.Config{Keys: map[string]string{"AKIAIOSFODNN7EXAMPLE": "s"}})
	server := httptest.NewServer(cloud)
	defer server.Close()
	t.Setenv("TEST_EC2_KEY", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("TEST_EC2_SECRET", "s")
	file := filepath.Join(t.TempDir(), "rondo.yml")
	text := fmt.Sprintf("url: https://ci\ndata: d\nmachines:\n  %s  aws_authentication: keys\n  access_key: env:TEST_EC2_KEY\n  secret_key: env:TEST_EC2_SECRET\n  endpoint: %s\n", goodEC2, server.URL)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	preflight := func() (string, error) {
		var out bytes.Buffer
		cmd := machinesCommand()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"preflight", "--config", file})
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	out, err := preflight()
	require.NoError(t, err, out)
	require.Regexp(t, `(?m)^good  ec2:RunInstances +allowed$`, out)
	require.Regexp(t, `(?m)^good  subnet subnet-0000000a +in us-west-2a, 4000 free addresses$`, out)
	cloud.Deny("RunInstances")
	out, err = preflight()
	require.ErrorContains(t, err, "machines preflight: 1 of")
	require.Regexp(t, `(?m)^bad +ec2:RunInstances +.*aws_authentication.*decode-authorization-message`, out)
	require.NotContains(t, out, "secret")
	require.Empty(t, cloud.Instances())
}

func TestVMS09_ImageIsWrittenAndLooksGood(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vm")
	image := func(args ...string) error {
		cmd := machinesCommand()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(append([]string{"image"}, args...))
		return cmd.ExecuteContext(t.Context())
	}
	require.NoError(t, image(dir))
	require.NoError(t, image("--lint", dir))
	require.ErrorIs(t, image(dir), os.ErrExist, "nothing is written over")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "aws_user_data"), []byte("#cloud-config\n"), 0o600))
	require.ErrorContains(t, image("--lint", dir), "it makes no user circleci")
}
