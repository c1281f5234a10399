// Package asg is Amazon's Auto Scaling: a [Group] that a policy may resize, and
// the [Lifecycle] of a machine that is to be ended, which finishes its work
// first.
//
// A Lifecycle runs on the machine itself. It sees in the machine's metadata
// that Amazon means to end it, drains the node, keeps the hook alive while
// something runs, and lets Amazon go on when nothing does. It never ends a
// machine or a task itself.
package asg

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/rondo-ci/rondo/ci"
)

// A Cloud is the clients of one region.
type Cloud struct {
	scaling *autoscaling.Client
	machine *imds.Client
}

// Config says where the cloud is. The zero value asks the machine.
type Config struct {
	Region string // "" is that of the environment, else of the machine
	// Endpoint replaces Amazon's Auto Scaling, for a private endpoint.
	Endpoint string
	HTTP     *http.Client // nil is the SDK's own
	// Credentials is nil for those of the environment or the machine's role.
	Credentials aws.CredentialsProvider
}

// Open returns the clients. The machine is asked for its region where nothing
// else says it, by IMDSv2.
func Open(ctx context.Context, cfg Config) (*Cloud, error) {
	var opts []func(*config.LoadOptions) error
	if cfg.Region != "" {
		opts = append(opts, config.WithRegion(cfg.Region))
	}
	if cfg.Credentials != nil {
		opts = append(opts, config.WithCredentialsProvider(cfg.Credentials))
	}
	if cfg.HTTP != nil { // one by one, as the SDK refuses one for all together with AWS_CA_BUNDLE
		opts = append(opts, config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) {
			o.Client = imds.New(imds.Options{HTTPClient: cfg.HTTP})
		}), config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = cfg.HTTP }))
	}
	all, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("auto scaling: %w", err)
	}
	if cfg.HTTP != nil {
		all.HTTPClient = cfg.HTTP
	}
	c := &Cloud{machine: imds.NewFromConfig(all)}
	if all.Region == "" {
		got, err := c.machine.GetRegion(ctx, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: auto scaling: nobody says the region, and the machine does not answer for its metadata: set AWS_REGION: %w", ci.ErrInvalid, err)
		}
		all.Region = got.Region
	}
	c.scaling = autoscaling.NewFromConfig(all, func(o *autoscaling.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
	})
	return c, nil
}

// Group returns the group of that name. It satisfies autoscale.Group.
func (c *Cloud) Group(name string) *Group { return &Group{c.scaling, name} }

// A Group is one Auto Scaling group.
type Group struct {
	scaling *autoscaling.Client
	name    string
}

// Bounds returns the desired, the least and the most size. A group that is not
// there is [ci.ErrNotFound].
func (g *Group) Bounds(ctx context.Context) (desired, least, most int, err error) {
	out, err := g.scaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{g.name}})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("auto scaling group %s: %w", g.name, err)
	}
	if len(out.AutoScalingGroups) == 0 {
		return 0, 0, 0, fmt.Errorf("auto scaling group %s: %w: there is none of that name in this region and account", g.name, ci.ErrNotFound)
	}
	is := out.AutoScalingGroups[0]
	return int(aws.ToInt32(is.DesiredCapacity)), int(aws.ToInt32(is.MinSize)), int(aws.ToInt32(is.MaxSize)), nil
}

// Resize changes the desired size, without a cooldown.
func (g *Group) Resize(ctx context.Context, desired int) error {
	_, err := g.scaling.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: &g.name, DesiredCapacity: aws.Int32(int32(desired)), HonorCooldown: aws.Bool(false),
	})
	if err != nil {
		return fmt.Errorf("auto scaling group %s: %w", g.name, err)
	}
	return nil
}
