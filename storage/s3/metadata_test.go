package s3_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/storage/s3"
)

// roundTrip is a function as a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What the machine is asked for credentials goes the way that the program gives,
// which knows that no proxy may see it.
func TestPRX04_CredentialsOfTheMachineGoTheSameWay(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("HTTP_PROXY", "http://proxy.invalid:1") // of the default, unless it was asked for before
	t.Setenv("AWS_CONFIG_FILE", "/no/such")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/no/such")
	for _, address := range []string{"", "/role"} {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", address) // of a container, when it is set
		var mu sync.Mutex
		asked := map[string]bool{}
		cfg := s3.Config{Bucket: "b", Wrap: func(base *http.Transport) http.RoundTripper {
			for _, host := range []string{"169.254.169.254", "169.254.170.2"} {
				r, err := http.NewRequest(http.MethodGet, "http://"+host+"/x", nil)
				require.NoError(t, err)
				u, err := base.Proxy(r)
				require.NoError(t, err)
				require.Nil(t, u, host)
			}
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				asked[r.URL.Host] = true
				return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: r}, nil
			})
		}}
		s, err := s3.OpenQuick(t.Context(), cfg, time.Second)
		require.NoError(t, err)
		require.Error(t, s.Check(t.Context()))
		want := "169.254.169.254"
		if address != "" {
			want = "169.254.170.2"
		}
		require.Equal(t, map[string]bool{want: true}, asked)
	}
}
