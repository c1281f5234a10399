package ec2_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/ec2"
	"github.com/rondo-ci/rondo/vmservice/ec2/ec2test"
)

// A machine is booted and ended; here by a cloud in this process.
func Example() {
	ctx := context.Background()
	cloud := ec2test.New(ec2test.Config{})
	d, err := ec2.New("our-ci", ec2.Config{
		Region: "us-west-2", Subnet: "subnet-0000000a", SecurityGroup: "sg-0000000a", InstanceType: "m5.large",
		Auth: ec2.Auth{Way: ec2.Keys, AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "secret"},
		Net:  ec2.Net{HTTP: cloud.Client()}, // leave out for Amazon's
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := d.Create(ctx, "job-1", vmservice.Model{Kind: ci.MachineForJob}, vmservice.Boot{
		User: "circleci", AuthorizedKey: "ssh-ed25519 AAAA ci", Life: 6 * time.Hour,
	})
	fmt.Println(m.State, m.Zone, err)
	fmt.Println(d.Destroy(ctx, m.ID))
	// Output:
	// booting us-west-2a <nil>
	// <nil>
}

// Check says what is wrong before a job finds it out.
func ExampleDriver_Check() {
	cloud := ec2test.New(ec2test.Config{})
	cloud.AddGroup(ec2test.Group{ID: "sg-0000000a", VPC: "vpc-0000000a", From: "10.0.0.0/8", Ports: []int{22}})
	d, err := ec2.New("our-ci", ec2.Config{
		Region: "us-west-2", Subnet: "subnet-0000000a", SecurityGroup: "sg-0000000a", InstanceType: "m5.large",
		Auth: ec2.Auth{Way: ec2.Keys, AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "secret"}, Net: ec2.Net{HTTP: cloud.Client()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	all, err := d.Check(context.Background())
	for _, a := range all {
		if a.Verdict == vmservice.VerdictBad {
			fmt.Println(a.Setting, a.Text)
		}
	}
	fmt.Println(err)
	// Output:
	// ec2_security_group_id lets nobody in on TCP port 2376 (remote Docker), 54782 (people who enter a build by SSH): add rules that do, from where the agents run
	// <nil>
}
