package cloudwatch_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/cloudwatch"
	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/stretchr/testify/require"
)

func settings(endpoint string) cloudwatch.Config {
	return cloudwatch.Config{Auth: cloudwatch.Keys, AccessKey: "AKIAEXAMPLE", SecretKey: "secret", Region: "us-west-2", Namespace: "ci_metrics", Endpoint: endpoint}
}

func open(t *testing.T) (*cloudwatch.Sink, *metricstest.CloudWatch) {
	c := metricstest.NewCloudWatch()
	t.Cleanup(c.Close)
	s, err := cloudwatch.New(t.Context(), settings(c.URL))
	require.NoError(t, err)
	return s, c
}

func TestMET09_Suite(t *testing.T) {
	metricstest.TestSink(t, func(t *testing.T) (metrics.Sink, func(bool)) {
		s, c := open(t)
		return s, func(on bool) {
			c.Fail(map[bool]string{true: "InternalServiceFault"}[on])
		}
	})
}

func TestMET09_Data(t *testing.T) {
	s, c := open(t)
	require.NoError(t, s.Write(t.Context(), metricstest.Figures(time.Now())))
	all, auth := c.Data()
	require.Contains(t, auth[0], "Credential=AKIAEXAMPLE/")
	require.Contains(t, auth[0], "/us-west-2/monitoring/")
	got, count, parts := map[string]metricstest.CloudWatchDatum{}, 0.0, 0
	for _, d := range all {
		require.Equal(t, "ci_metrics", d.Namespace)
		got[d.Name] = d
		if d.Name == "queue.wait" {
			parts++
			for _, n := range d.Counts {
				count += n
			}
		}
	}
	require.EqualValues(t, 7, got["circle.nomad.server_agent.jobs.pending"].Value)
	require.Equal(t, "Count", got["jobs.ended_total"].Unit)
	require.Equal(t, "Seconds", got["queue.wait"].Unit)
	require.Equal(t, map[string]string{"class": "medium"}, got["queue.wait"].Dimensions)
	require.Equal(t, map[string]string{"cpu": "cpu-total"}, got["cpu.usage_user"].Dimensions, "host is none by itself")
	require.Equal(t, map[string]string{"Env": "Produktion  Sd", "status": "success"}, got["jobs.ended_total"].Dimensions)
	require.Greater(t, parts, 1, "more than 150 values are sent in parts")
	require.EqualValues(t, 2004, count)
	require.NotContains(t, got, "huge")
	require.Zero(t, math.Abs(got["tiny"].Value-5e-324))
}

func TestMET09_Errors(t *testing.T) {
	s, c := open(t)
	var all *metrics.AllRefused
	for code, refused := range map[string]bool{"AccessDenied": true, "SignatureDoesNotMatch": true, "InvalidParameterValue": true, "Throttling": false} {
		c.Fail(code)
		err := s.Write(t.Context(), metricstest.Figures(time.Now())[:1])
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
		if refused {
			require.ErrorIs(t, err, metrics.ErrRefused, code)
		} else {
			require.NotErrorIs(t, err, metrics.ErrRefused, code)
		}
	}
	c.Fail("AccessDenied")
	require.ErrorAs(t, s.Write(t.Context(), metricstest.Figures(time.Now())[:1]), &all)
	require.ErrorContains(t, all, "cloudwatch:PutMetricData")
}

// Each field of the guide's form.
func TestMET09_Fields(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*cloudwatch.Config)
		says   string
	}{
		"auth":           {func(c *cloudwatch.Config) { c.Auth = "role" }, `auth "role" is neither instance_profile nor keys`},
		"access_key":     {func(c *cloudwatch.Config) { c.AccessKey = "" }, "access_key is missing"},
		"secret_key":     {func(c *cloudwatch.Config) { c.SecretKey = "" }, "secret_key is missing"},
		"region":         {func(c *cloudwatch.Config) { c.Region = "" }, "region is missing"},
		"region form":    {func(c *cloudwatch.Config) { c.Region = "Oregon" }, `region "Oregon" is none`},
		"namespace":      {func(c *cloudwatch.Config) { c.Namespace = "" }, "namespace is missing"},
		"namespace AWS":  {func(c *cloudwatch.Config) { c.Namespace = "AWS/EC2" }, "must not begin with AWS/"},
		"namespace form": {func(c *cloudwatch.Config) { c.Namespace = "a\nb" }, "namespace has at most 255"},
		"profile":        {func(c *cloudwatch.Config) { c.Auth = cloudwatch.InstanceProfile }, "leave out access_key"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := settings("")
			c.change(&cfg)
			err := cfg.Check()
			require.ErrorIs(t, err, ci.ErrInvalid)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.NoError(t, cloudwatch.Config{Namespace: "ci_metrics"}.Check())
}

// With the role of the machine, the machine is asked by IMDSv2 and no key is
// needed.
func TestMET09_InstanceProfile(t *testing.T) {
	c := metricstest.NewCloudWatch()
	defer c.Close()
	var v1 bool
	imds := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			fmt.Fprint(w, "token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token":
			v1 = true
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
			fmt.Fprint(w, "ci-role")
		case strings.HasSuffix(r.URL.Path, "/security-credentials/ci-role"):
			fmt.Fprint(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAROLE","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z","LastUpdated":"2026-01-01T00:00:00Z"}`)
		case strings.HasSuffix(r.URL.Path, "/instance-identity/document"):
			fmt.Fprint(w, `{"region":"eu-west-1"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer imds.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.URL)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	s, err := cloudwatch.New(t.Context(), cloudwatch.Config{Region: "eu-west-1", Namespace: "ci_metrics", Endpoint: c.URL})
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), metricstest.Figures(time.Now())[:1]))
	_, auth := c.Data()
	require.Contains(t, auth[0], "Credential=ASIAROLE/")
	require.False(t, v1)

	// PRX-04: the machine is asked by the client that the program gives, which
	// knows that no proxy may see the answer.
	seen := map[string]bool{}
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		seen[r.URL.Host] = true
		return http.DefaultTransport.RoundTrip(r)
	})}
	s, err = cloudwatch.New(t.Context(), cloudwatch.Config{Region: "eu-west-1", Namespace: "ci_metrics", Endpoint: c.URL, HTTP: client})
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), metricstest.Figures(time.Now())[:1]))
	require.True(t, seen[strings.TrimPrefix(imds.URL, "http://")])
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func ExampleConfig_Check() {
	err := cloudwatch.Config{Auth: cloudwatch.Keys, AccessKey: "AKIAEXAMPLE", Region: "us-west-2", Namespace: "AWS/EC2"}.Check()
	fmt.Println(err)
	// Output:
	// invalid: cloudwatch: secret_key is missing: auth is keys
	// invalid: cloudwatch: namespace must not begin with AWS/, which is Amazon's own
}
