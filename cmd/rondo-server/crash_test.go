package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// joint is a project whose pipelines end at once, without an agent.
const joint = `
version: 2.1
jobs: {join: {type: no-op}}
workflows: {main: {jobs: [join]}}
`

// settled starts the site, waits for its first pipeline and stops it.
func (i *site) settled() {
	i.t.Helper()
	i.start()
	i.s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(i.t, 0, i.s.stop(), i.s.errors())
}

// TestP1a_BurstUnderKills kills the server again and again while clients ask
// for pipelines. What was accepted is there once, and has ended.
func TestP1a_BurstUnderKills(t *testing.T) { short(t); burstUnderKills(t, 4) }

func TestFault_P1a_BurstUnderKills(t *testing.T) { faulty(t); burstUnderKills(t, 60) }

func burstUnderKills(t *testing.T, kills int) {
	i := newSite(t, newRepo(t, joint).dir)
	i.settled()
	i.start()
	l := newLedger(t)
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(80 * time.Millisecond): // about 50 a second
				}
				l.note(i.trigger())
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		i.s.kill()
		i.start()
	}
	close(done)
	clients.Wait()
	l.settle(i, 1)
	i.finish()
}

// attempt starts the server under strace, which does something to the k-th
// call of a kind in each thread, and asks for pipelines until the server has
// gone or has brought some to an end. It reports whether it has gone.
func (i *site) attempt(l *ledger, inject string) (gone bool) {
	i.t.Helper()
	i.wrap = []string{"strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,pwrite64", "-e", inject}
	cmd := i.command()
	i.wrap = nil
	out, err := cmd.StdoutPipe()
	require.NoError(i.t, err)
	require.NoError(i.t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	up := make(chan bool, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 16<<20)
		up <- lines.Scan()
		for lines.Scan() {
		}
	}()
	if !<-up {
		return true
	}
	for range 8 {
		id, status := i.trigger()
		l.note(id, status)
		if status == 0 {
			break
		}
	}
	// Its children go with it; when it goes by itself, it goes soon.
	defer func() {
		for _, pid := range children(cmd.Process.Pid) {
			p, err := os.FindProcess(pid)
			if err == nil {
				_ = p.Kill()
			}
		}
	}()
	select {
	case <-ended:
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

// needsStrace skips the test where processes cannot be traced.
func needsStrace(t *testing.T) {
	needsTool(t, "strace")
	out, err := exec.Command("strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fsync", "true").CombinedOutput()
	if err != nil {
		t.Skipf("strace does not work here: %v %s", err, out)
	}
}

// TestP1b_KilledAtEachSync kills the server before its k-th sync or write, for
// each k until none is hit any more. After each, the next start has all that
// was accepted.
func TestP1b_KilledAtEachSync(t *testing.T) { short(t); crashEach(t, "signal=SIGKILL", 4, 6) }

func TestFault_P1b_KilledAtEachSync(t *testing.T) { faulty(t); crashEach(t, "signal=SIGKILL", 1, 40) }

// TestP16b_ServerLeavesAfterAFailedSync lets the k-th sync of each thread fail.
// Nothing is accepted after that, the server ends by itself, and the next
// start has all that was accepted.
func TestP16b_ServerLeavesAfterAFailedSync(t *testing.T) { short(t); crashEach(t, "error=EIO", 2, 3) }

func TestFault_P16b_ServerLeavesAfterAFailedSync(t *testing.T) {
	faulty(t)
	crashEach(t, "error=EIO", 1, 40)
}

func crashEach(t *testing.T, what string, from, to int) {
	needsStrace(t)
	i := newSite(t, newRepo(t, joint).dir)
	i.settled()
	l := newLedger(t)
	hit := 0
	for _, calls := range []string{"fdatasync,fsync", "pwrite64"} {
		if calls == "pwrite64" && what != "signal=SIGKILL" {
			continue // that is a full disk: TestP16a
		}
		for k := from; k <= to; k++ {
			if !i.attempt(l, fmt.Sprintf("inject=%s:%s:when=%d", calls, what, k)) {
				break
			}
			hit++
			i.start()
			l.settle(i, 1)
			i.finish()
		}
	}
	require.Positive(t, hit)
	t.Logf("%d times", hit)
	i.start()
	l.settle(i, 1)
	i.finish()
}
