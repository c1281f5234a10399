package ec2_test

import (
	"fmt"

	"github.com/rondo-ci/rondo/vmservice/ec2"
)

func ExampleNew() {
	_, err := ec2.New("ci.example.com", ec2.Config{Region: "us-west-2", Subnet: "subnet-0123456789abcdef0", SecurityGroup: "sg-0123456789abcdef0", InstanceType: "m5.large"})
	fmt.Println(err)
	err = ec2.Config{Region: "Oregon"}.Check()
	fmt.Println(err != nil)
	// Output:
	// <nil>
	// true
}
