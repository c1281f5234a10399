package ecr_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/ecr"
	"github.com/rondo-ci/rondo/ci/agent/ecr/ecrtest"
)

func ExampleAmazon() {
	fmt.Println(ecr.Amazon("123456789012.dkr.ecr.eu-central-1.amazonaws.com"))
	fmt.Println(ecr.Amazon("123456789012.dkr.ecr.eu-central-1.example.com"))
	// Output:
	// https://api.ecr.eu-central-1.amazonaws.com eu-central-1 true
	//   false
}

func TestPassword(t *testing.T) {
	s := ecrtest.New(t, "pass:word")
	c := ecr.New(ecr.Config{Endpoint: s.Endpoint})
	keys := func(id, secret string) map[string]string {
		return map[string]string{"aws_access_key_id": id, "aws_secret_access_key": secret}
	}
	got, err := c.Password(t.Context(), "r", keys(s.ID, s.Secret))
	require.NoError(t, err)
	require.Equal(t, "pass:word", got)
	for want, auth := range map[string]map[string]string{
		"does not know the aws_access_key_id":    keys("AKIAOTHER", s.Secret),
		"aws_secret_access_key does not belong":  keys(s.ID, "an0ther-secret"),
		"one of them is empty":                   keys(s.ID, ""),
		"tokens that this installation does not": {"oidc_role_arn": "arn:aws:iam::1:role/x"},
	} {
		_, err := c.Password(t.Context(), "r", auth)
		require.ErrorIs(t, err, ci.ErrInvalid, want)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "an0ther-secret")
	}
	s.Denied = true
	_, err = c.Password(t.Context(), "r", keys(s.ID, s.Secret))
	require.ErrorContains(t, err, "ecr:GetAuthorizationToken")
}

// Keys go to Amazon alone, whatever an image is called.
func TestAmazon(t *testing.T) {
	for registry, want := range map[string]string{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com":           "https://api.ecr.us-east-1.amazonaws.com",
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com":  "https://ecr-fips.us-gov-west-1.amazonaws.com",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":       "https://api.ecr.cn-north-1.amazonaws.com.cn",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.com":  "",
		"123456789012.dkr.ecr.evil.com#.us-east-1.amazonaws.com": "",
		"evil.com/123456789012.dkr.ecr.us-east-1.amazonaws.com":  "",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com:8443":      "",
		"docker.io": "", "": "", "127.0.0.1:5000": "",
	} {
		address, _, ok := ecr.Amazon(registry)
		require.Equal(t, want, address, registry)
		require.Equal(t, want != "", ok)
	}
	_, err := ecr.New(ecr.Config{}).Password(t.Context(), "evil.com", map[string]string{"aws_access_key_id": "a", "aws_secret_access_key": "b"})
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "is no registry of Amazon")
}
