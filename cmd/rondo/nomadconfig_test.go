package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/autoscale"
	"github.com/stretchr/testify/require"
)

// Two clients as golden files: run with UPDATE=1 to write them anew.
func TestClientConfig_Golden(t *testing.T) {
	for name, f := range map[string]clientFacts{
		"plain": {Datacenter: "default", Driver: "raw_exec", Region: "global", Class: "linux-64bit", Servers: []string{"10.0.0.10"}},
		"cloud": {
			Datacenter: "us-east-1", Driver: "docker", Namespace: "ci", Region: "global", Class: "linux-64bit", Pool: "trusted", Servers: []string{"nomad.internal:4647", "10.0.0.11"},
			TLS: true, ACL: true, Cloud: true, URL: "https://ci.example.com",
		},
	} {
		require.NoError(t, f.check())
		parts, err := f.render()
		require.NoError(t, err)
		for _, p := range clientParts {
			golden := filepath.Join("testdata", "nomadclient", name, p.file)
			if os.Getenv("UPDATE") != "" {
				require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(parts[p.name]), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), parts[p.name], golden)
		}
		for _, script := range []string{"hook", "user-data"} {
			cmd := exec.Command("bash", "-n")
			cmd.Stdin = bytes.NewReader([]byte(parts[script]))
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s %s: %s", name, script, out)
		}
		realNomad(t, parts["hcl"])
	}
}

// realNomad lets Nomad itself read the configuration, where there is one.
func realNomad(t *testing.T, hcl string) {
	t.Helper()
	nomad, err := exec.LookPath("nomad")
	if err != nil {
		if nomad = "/tmp/nomad-bin/nomad"; exec.Command(nomad, "version").Run() != nil {
			t.Log("no nomad here: its own check of the configuration was left out")
			return
		}
	}
	file := filepath.Join(t.TempDir(), "client.hcl")
	require.NoError(t, os.WriteFile(file, []byte(hcl), 0o600))
	out, err := exec.Command(nomad, "config", "validate", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// A client keeps 2 CPUs and 4 GB: of 8 and 32 there are 6 and 28 for tasks, and
// one that needs 7 fits nowhere.
func TestARC09_ClientKeepsTwoCPUsAndFourGigabytes(t *testing.T) {
	f := clientFacts{Datacenter: "default", Region: "global", Class: "linux-64bit", Servers: []string{"10.0.0.10"}}
	parts, err := f.render()
	require.NoError(t, err)
	require.Regexp(t, `reserved \{\s+cores  = "0-1"\s+memory = 4096`, parts["hcl"])
	fleet := autoscale.DefaultFleet()
	fleet.Node = scheduler.Resources{CPU: 8 - keptCPU, MemoryMB: 32<<10 - keptMemoryMB}
	fleet.Classes = map[string]scheduler.Resources{"six": {CPU: 6, MemoryMB: 28 << 10}, "seven": {CPU: 7, MemoryMB: 1024}}
	require.Equal(t, 1, fleet.Slots("six"))
	require.Zero(t, fleet.Slots("seven"))
}

// A client of 65 CPUs is warned about, and taken when it is meant.
func TestARC10_LargeClientWarns(t *testing.T) {
	f := clientFacts{CPUs: 65}
	require.Len(t, f.warnings(), 1)
	require.Contains(t, f.warnings()[0], "65 CPUs")
	f.Oversize = true
	require.Empty(t, f.warnings())
	require.Empty(t, clientFacts{CPUs: 64, MachineMB: 128 << 10}.warnings())
	require.Len(t, clientFacts{CPUs: 2 + keptCPU, MachineMB: 8 << 10}.warnings(), 1)
	require.Error(t, clientFacts{Servers: []string{"a"}, Datacenter: "d", Region: "r", Class: "c", CPUs: 2}.check())
	require.Error(t, clientFacts{}.check())
	require.Error(t, clientFacts{Servers: []string{`a"\n}`}}.check())
}
