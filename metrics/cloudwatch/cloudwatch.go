// Package cloudwatch takes figures to Amazon CloudWatch by PutMetricData.
//
// A [Sink] keeps to the documented limits: at most 1,000 figures and 1 MB a
// request, 30 dimensions and 150 different values a figure, values within
// ±2^360. A spread is sent with its values and how often each came, so that
// CloudWatch's percentiles are right.
//
// Every name with every combination of dimensions is a metric that Amazon bills:
// [Config] says which tags become dimensions. The package keeps nothing: what
// waits, and for how long, is the hub's.
package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics"
)

// Auth says how the installation proves itself to Amazon: one of the two ways
// of the guide's form.
type Auth string

// The two ways.
const (
	InstanceProfile Auth = "instance_profile" // the role of the machine
	Keys            Auth = "keys"             // access key and secret key of an IAM user
)

// Config says where and as whom. The fields are those of the guide's form.
type Config struct {
	Auth      Auth // "" is InstanceProfile
	AccessKey string
	SecretKey string
	Region    string // us-west-2; "" is that of the machine, with InstanceProfile
	Namespace string // ci_metrics
	// Dimensions are the tags that become dimensions; nil is all but host.
	Dimensions []string
	// Endpoint replaces Amazon's, for a private endpoint.
	Endpoint string
	// HTTP is the client, also of what the machine is asked for; nil is the
	// SDK's own.
	HTTP *http.Client
}

// Check returns what is wrong with the settings, every field of it, as errors
// that wrap [ci.ErrInvalid].
func (c Config) Check() error {
	var wrong []error
	bad := func(field, why string) {
		wrong = append(wrong, fmt.Errorf("%w: cloudwatch: %s %s", ci.ErrInvalid, field, why))
	}
	switch c.Auth {
	case "", InstanceProfile:
		if c.AccessKey != "" || c.SecretKey != "" {
			bad("auth", "is instance_profile, so leave out access_key and secret_key, or choose keys")
		}
	case Keys:
		if c.AccessKey == "" {
			bad("access_key", "is missing: auth is keys")
		}
		if c.SecretKey == "" {
			bad("secret_key", "is missing: auth is keys")
		}
		if c.Region == "" {
			bad("region", "is missing: auth is keys, so no machine says it")
		}
	default:
		bad("auth", fmt.Sprintf("%q is neither instance_profile nor keys", c.Auth))
	}
	if c.Region != "" && !regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d+$`).MatchString(c.Region) {
		bad("region", fmt.Sprintf("%q is none: write one such as us-west-2", c.Region))
	}
	switch {
	case c.Namespace == "":
		bad("namespace", "is missing: choose one such as ci_metrics")
	case strings.HasPrefix(c.Namespace, "AWS/"):
		bad("namespace", "must not begin with AWS/, which is Amazon's own")
	case !regexp.MustCompile(`^[A-Za-z0-9 ._/#:-]{1,255}$`).MatchString(c.Namespace):
		bad("namespace", "has at most 255 letters, digits and . - _ / # : characters")
	}
	return errors.Join(wrong...)
}

// A Sink writes to CloudWatch.
type Sink struct {
	cfg    Config
	client *cloudwatch.Client
	units  map[string]types.StandardUnit
}

// New returns a sink. With InstanceProfile the machine is asked for its role
// when the first figures are written, by IMDSv2.
func New(ctx context.Context, cfg Config) (*Sink, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	var opts []func(*config.LoadOptions) error
	if cfg.Region != "" {
		opts = append(opts, config.WithRegion(cfg.Region))
	}
	if cfg.Auth == Keys {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, "")))
	}
	if cfg.HTTP != nil { // not for all of the SDK, which then refuses AWS_CA_BUNDLE
		opts = append(opts, config.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) {
			o.Client = imds.New(imds.Options{HTTPClient: cfg.HTTP})
		}), config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = cfg.HTTP }))
	}
	all, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("cloudwatch: %w", err)
	}
	s := &Sink{cfg: cfg, units: map[string]types.StandardUnit{}}
	s.client = cloudwatch.NewFromConfig(all, func(o *cloudwatch.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		if cfg.HTTP != nil {
			o.HTTPClient = cfg.HTTP
		}
		o.Retryer = aws.NopRetryer{} // the hub tries again, and tells
	})
	for _, m := range metrics.Catalogue() {
		switch {
		case m.Unit == "seconds":
			s.units[m.Name] = types.StandardUnitSeconds
		case m.Unit == "bytes":
			s.units[m.Name] = types.StandardUnitBytes
		case m.Kind == metrics.Count:
			s.units[m.Name] = types.StandardUnitCount
		}
	}
	return s, nil
}

// The documented limits of a request.
const (
	maxData       = 1000
	maxBytes      = 900_000 // of 1 MB, by an estimate that is never too low
	maxValues     = 150
	maxDimensions = 30
	maxText       = 255
)

// Write implements metrics.Sink.
func (s *Sink) Write(ctx context.Context, samples []metrics.Sample) error {
	var data []types.MetricDatum
	for _, x := range samples {
		data = append(data, s.data(x)...)
	}
	for len(data) > 0 {
		n := fits(data)
		_, err := s.client.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String(s.cfg.Namespace), MetricData: data[:n]})
		if err != nil {
			return verdict(err)
		}
		data = data[n:]
	}
	return nil
}

// fits returns how many of the figures one request can take.
func fits(data []types.MetricDatum) int {
	size := 0
	for i, d := range data {
		size += 200 + len(*d.MetricName) + 18*(len(d.Values)+len(d.Counts))
		for _, x := range d.Dimensions {
			size += 30 + len(*x.Name) + len(*x.Value)
		}
		if i == maxData || i > 0 && size > maxBytes {
			return i
		}
	}
	return len(data)
}

// verdict says what an error means.
func verdict(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("cloudwatch: %w", err)
	}
	err = fmt.Errorf("cloudwatch: %s: %s", api.ErrorCode(), api.ErrorMessage())
	switch code := api.ErrorCode(); {
	case strings.Contains(code, "Throttl"), code == "LimitExceeded", strings.HasPrefix(code, "InternalService"), code == "ServiceUnavailable":
		return err
	case slices.Contains([]string{"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "ExpiredToken", "MissingAuthenticationToken", "OptInRequired"}, code):
		return &metrics.AllRefused{Err: fmt.Errorf("%w: the role or key needs cloudwatch:PutMetricData", err)}
	case strings.HasPrefix(code, "Invalid"), strings.HasPrefix(code, "MissingRequired"), code == "ValidationError", code == "RequestEntityTooLarge":
		return fmt.Errorf("%w: %w", metrics.ErrRefused, err)
	}
	return err
}

// data returns what a sample is at CloudWatch; nothing for a value that
// CloudWatch does not take.
func (s *Sink) data(x metrics.Sample) []types.MetricDatum {
	one := types.MetricDatum{MetricName: aws.String(cut(x.Name)), Timestamp: aws.Time(x.Time), Dimensions: s.dimensions(x.Tags), Unit: s.units[x.Name]}
	if x.Kind != metrics.Dist {
		if !takes(x.Value) {
			return nil
		}
		one.Value = aws.Float64(x.Value)
		return []types.MetricDatum{one}
	}
	var all []types.MetricDatum
	var values, counts []float64
	flush := func() {
		if len(values) > 0 {
			d := one
			d.Values, d.Counts = values, counts
			all = append(all, d)
			values, counts = nil, nil
		}
	}
	for v, n := range x.Sketch.Buckets() {
		if takes(v) {
			values, counts = append(values, v), append(counts, n)
		}
		if len(values) == maxValues {
			flush()
		}
	}
	flush()
	return all
}

// takes reports whether CloudWatch takes a value.
func takes(v float64) bool {
	most := math.Ldexp(1, 360)
	return v >= -most && v <= most // false for what is no number
}

func (s *Sink) dimensions(tags []metrics.Tag) []types.Dimension {
	var all []types.Dimension
	for _, t := range tags {
		wanted := t.Key != "host"
		if s.cfg.Dimensions != nil {
			wanted = slices.Contains(s.cfg.Dimensions, t.Key)
		}
		if key, value := ascii(t.Key), ascii(t.Value); wanted && key != "" && value != "" && len(all) < maxDimensions {
			all = append(all, types.Dimension{Name: aws.String(cut(strings.TrimLeft(key, ":"))), Value: aws.String(cut(value))})
		}
	}
	return all
}

// ascii leaves out what CloudWatch does not take in a dimension.
func ascii(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s))
}

func cut(s string) string { return s[:min(len(s), maxText)] }
