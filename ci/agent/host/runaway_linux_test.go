package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/host"
)

// runaway is a process that is never the same one for long: each starts the
// next in a session of its own and ends. The last one stays.
const runaway = `#!/bin/sh
if [ "$1" -gt 0 ]; then
	setsid "$0" $(($1 - 1)) &
	exit 0
fi
exec sleep 300
`

// TestP27_RunawayProcesses proves that what forks, execs and ends while it is
// looked for is found all the same. A process has no environment while it
// execs, and one that was forked after the list was read is not in it.
func TestP27_RunawayProcesses(t *testing.T) {
	script := filepath.Join(t.TempDir(), "runaway")
	require.NoError(t, os.WriteFile(script, []byte(runaway), 0o755))
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for i := range rounds {
		p := open(t, ci.Work{})
		var mark string
		for _, kv := range p.Layout().Environ {
			if v, ok := bytes.CutPrefix([]byte(kv), []byte(host.Marker+"=")); ok {
				mark = string(v)
			}
		}
		proc, _ := start(t, p, script+" 12")
		<-proc.Done()
		time.Sleep(time.Duration(i%10) * time.Millisecond) // another point of the chain each time
		require.NoError(t, p.Close())
		time.Sleep(20 * time.Millisecond) // what was missed would go on
		dirs, err := filepath.Glob("/proc/[0-9]*/environ")
		require.NoError(t, err)
		for _, d := range dirs {
			env, err := os.ReadFile(d)
			require.False(t, err == nil && bytes.Contains(env, []byte(host.Marker+"="+mark)), "round %d: %s is left", i, d)
		}
	}
}
