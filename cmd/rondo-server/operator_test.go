package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

const held = `
version: 2.1
jobs: {hold: {machine: true, parallelism: 2, steps: [{run: "while [ ! -e GATE ]; do sleep 0.05; done"}]}}
workflows: {main: {jobs: [hold]}}
`

// A node drains with what it has, takes nothing new, and runs the rest when the
// drain ends; each task runs once. What the pages say the API says, and who did
// it is on record.
func TestSCH15_DrainOfARealNode(t *testing.T) {
	gate := filepath.Join(serverDir(t), "gate")
	r := newRepo(t, strings.ReplaceAll(held, "GATE", gate))
	s := start(t, program(t, "dev", "--json", "--listen", "127.0.0.1:0", "--repo", r.dir, "--data", filepath.Join(serverDir(t), "data")))
	get := func(path string, into any) {
		t.Helper()
		code, text := s.call("GET", "/api/v2/rondo"+path, "")
		require.Equal(t, 200, code, text)
		require.NoError(t, json.Unmarshal([]byte(text), into))
	}
	var placed struct{ Items []ci.Trace }
	count := func(state string) int {
		get("/placements?status="+state, &placed)
		return len(placed.Items)
	}
	s.eventually("both run", func() bool { return count("running") == 2 })
	require.Contains(t, placed.Items[0].ID, "-0-build-")
	require.Contains(t, placed.Items[1].ID, "-1-build-", "SCH-02")

	var nodes struct{ Items []ci.Node }
	get("/nodes?state=active", &nodes)
	require.Len(t, nodes.Items, 1)
	name := nodes.Items[0].Name
	code, text := s.call("POST", "/api/v2/rondo/nodes/"+name+"/drain", `{"on":true}`)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, `"drain":true`)
	require.Contains(t, text, `"safe_to_terminate":false`)
	r.commit("second", map[string]string{"x": "y"})
	s.eventually("two more wait", func() bool { return count("pending") == 2 })
	var why struct{ Items []ci.Explanation }
	get("/queue/explain?of=2", &why)
	require.Equal(t, "all_draining", why.Items[0].Diagnosis.Code, "TRB-11")
	require.Equal(t, "usage-queue", why.Items[0].Hops[0].Name)
	require.Equal(t, "run-queue", why.Items[0].Hops[1].Name)

	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	s.eventually("what it had has ended", func() bool { return count("dead") == 2 })
	s.eventually("it may be ended", func() bool {
		get("/nodes", &nodes)
		return nodes.Items[0].Safe
	})
	require.Equal(t, 2, count("pending"))
	code, text = s.call("POST", "/api/v2/rondo/nodes/"+name+"/drain", `{"on":false}`)
	require.Equal(t, 200, code, text)
	s.eventually("the rest has run", func() bool {
		return count("dead") == 4 && !slices.ContainsFunc(placed.Items, func(p ci.Trace) bool { return p.Ended.IsZero() })
	})
	for _, p := range placed.Items {
		require.Equal(t, int64(1), p.Epoch, "each once")
		require.Equal(t, "success", p.Reason)
	}
	code, text = s.call("GET", "/api/v2/rondo/placements/"+placed.Items[3].Allocation+"/output?stderr=true", "")
	if code == 200 { // an agent that has ended may be forgotten
		require.Contains(t, text, "task")
	}
	s.eventually("it is on record", func() bool {
		_, text := s.call("GET", "/api/v2/rondo/audit?action=rondo.node.*", "")
		return strings.Contains(text, "rondo.node.drain") && strings.Contains(text, "rondo.node.ready")
	})
}

// TestTRB06_Inventory: the guide's list of containers, one line for each, with
// what does its work here.
func TestTRB06_Inventory(t *testing.T) {
	s, _ := team(t, "")
	by := map[string]ci.Service{}
	s.eventually("the queue is up", func() bool {
		code, text := s.call("GET", "/api/v2/rondo/services", "")
		require.Equal(t, 200, code, text)
		var all struct{ Items []ci.Service }
		require.NoError(t, json.Unmarshal([]byte(text), &all))
		for _, one := range all.Items {
			by[one.Role] = one
		}
		return by["picard-scheduler"].State == "up"
	})
	for role, state := range map[string]string{
		"frontend": "up", "slanger": "up", "postgres": "up", "picard-output-processor": "up", "picard-scheduler": "up",
		"exim": "not needed", "vm-service": "not needed", "mongo": "not needed", "redis": "not needed", "redis (second)": "not needed", "logrotate": "not needed",
	} {
		require.Equal(t, state, by[role].State, role)
		require.NotEmpty(t, by[role].Here, role)
	}
	require.Contains(t, strings.Join(by["frontend"].Ports, " "), strings.TrimPrefix(s.URL, "http://"))
	require.Contains(t, strings.Join(by["picard-output-processor"].Ports, " "), strings.TrimPrefix(s.Agents, "http://"))
}
