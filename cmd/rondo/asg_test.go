package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler/autoscale/autoscaletest"
	"github.com/stretchr/testify/require"
)

// The command drains through the API of the server and completes the hook at
// that of Amazon, both over HTTP.
func TestASC04_CommandDrainsAndCompletes(t *testing.T) {
	fake := autoscaletest.New("clients", "drain", 30*time.Second, 1, 3, nil)
	amazon := httptest.NewServer(fake)
	defer amazon.Close()
	var mu sync.Mutex
	node := ci.Node{ID: "0c1d", Name: "client-1", State: "ready", Tasks: 1}
	looks := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/rondo/nodes", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if looks++; looks > 4 && node.Drain {
			node.Tasks = 0
		}
		_ = json.NewEncoder(w).Encode(listed[ci.Node]{Items: []ci.Node{node}})
	})
	mux.HandleFunc("POST /api/v2/rondo/nodes/0c1d/drain", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		node.Drain, node.State = true, "draining"
		_ = json.NewEncoder(w).Encode(node)
	})
	rondo := httptest.NewServer(mux)
	defer rondo.Close()
	for k, v := range map[string]string{
		"RONDO_URL": rondo.URL, "RONDO_TOKEN": "t", "AWS_EC2_METADATA_SERVICE_ENDPOINT": amazon.URL, "AWS_REGION": "us-west-2",
		"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CA_BUNDLE": "", "AWS_EC2_METADATA_DISABLED": "false", "NO_PROXY": "127.0.0.1",
	} {
		t.Setenv(k, v)
	}
	fake.Terminate(fake.Instances()[0].ID)
	code := run([]string{"asg", "lifecycle", "--node", "client-1", "--endpoint", amazon.URL, "--poll", "5ms", "--state", filepath.Join(t.TempDir(), "state")})
	require.Zero(t, code)
	i := fake.Instances()[0]
	require.Equal(t, "CONTINUE", i.Why)
	require.NotEmpty(t, i.Beats)
	require.True(t, node.Drain)
	require.Zero(t, node.Tasks)
}
