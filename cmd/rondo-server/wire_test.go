package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// newTalker returns a bench whose job also prints about so many bytes within
// two seconds, and notes their hash outside of the system.
func newTalker(t *testing.T, bytes int) *bench {
	return newBench(t, fmt.Sprintf(`      - run:
          name: Talk
          command: |
            head -c %d /dev/urandom | base64 -w 99 > said
            sha256sum < said | cut -c 1-64 > MARKS/hash
            for i in $(seq 0 19); do dd if=said bs=%d skip=$i count=1 status=none; sleep 0.1; done
`, bytes*3/4, bytes/19))
}

// heard compares what the server has of the output with what was said.
func (b *bench) heard(pipeline string) {
	b.t.Helper()
	require.Equal(b.t, ci.Success, b.status(pipeline), b.s.errors())
	job := b.s.jobs(pipeline)[0].ID
	b.s.checkLog(job, 0)
	said, err := os.ReadFile(filepath.Join(b.marks, "hash"))
	require.NoError(b.t, err)
	require.Equal(b.t, strings.TrimSpace(string(said)), fmt.Sprintf("%x", sha256.Sum256([]byte(b.s.log(job, 0, 2)))))
}

// newProxy returns a proxy that can be made to misbehave. It is not started.
func newProxy(listen, upstream string) *toxiproxy.Proxy {
	return toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "door", listen, upstream)
}

// toxics are what a network may do: be slow, send in pieces, reset, cut after
// some bytes (so that an answer is lost), and swallow all.
var toxics = []string{
	`{"type": "latency", "attributes": {"latency": 50, "jitter": 40}}`,
	`{"type": "slicer", "attributes": {"average_size": 60, "size_variation": 50, "delay": 100}}`,
	`{"type": "reset_peer", "attributes": {"timeout": 0}}`,
	`{"type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 30}}`,
	`{"type": "limit_data", "attributes": {"bytes": 20}}`,
	`{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 3000}}`,
	`{"type": "timeout", "attributes": {"timeout": 100}}`,
}

// misbehave does one thing after the other to the connections of a proxy,
// until ctx ends.
func misbehave(ctx context.Context, p *toxiproxy.Proxy) {
	for ctx.Err() == nil {
		w, err := p.Toxics.AddToxicJson(strings.NewReader(toxics[rand.IntN(len(toxics))]))
		if err != nil {
			panic(err)
		}
		pause(ctx, 100, 300)
		limited, stop := context.WithTimeout(context.Background(), 5*time.Second)
		_ = p.Toxics.RemoveToxic(limited, w.Name)
		stop()
		pause(ctx, 100, 300)
	}
}

// pause waits for some milliseconds, or for the end of ctx.
func pause(ctx context.Context, from, to int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(from+rand.IntN(to-from)) * time.Millisecond):
	}
}

// TestP7b_BadProxy puts a proxy between agents and the server that is slow,
// cuts in the middle of a call or its answer, and resets. What is stored of the
// output is what the job said, once.
func TestP7b_BadProxy(t *testing.T) { short(t); badProxy(t, 1, 400_000) }

func TestFault_P7b_BadProxy(t *testing.T) { faulty(t); badProxy(t, 5, 4_000_000) }

func badProxy(t *testing.T, times, bytes int) {
	b := newTalker(t, bytes)
	b.lines(10)
	p := newProxy("127.0.0.1:0", b.agents)
	require.NoError(t, p.Start())
	defer p.Stop()
	b.detour = "door=http://" + p.Listen
	b.start()
	for range times {
		ctx, stop := context.WithCancel(t.Context())
		var one sync.WaitGroup
		one.Go(func() { misbehave(ctx, p) })
		pipeline, _ := b.run()
		pause(t.Context(), 4000, 6000)
		stop() // heal: it has to end now
		one.Wait()
		b.heard(pipeline)
	}
	b.finish()
}

// A lane is a network of two: this machine, and a namespace of its own.
type lane struct {
	t               *testing.T
	netns, here, in string // its name and the two addresses
	ends            [2]string
}

// newLane makes one, or skips the test.
func newLane(t *testing.T) *lane {
	pid := os.Getpid()
	net := fmt.Sprintf("198.18.%d.%d", pid%64, 4*(pid/64%60)) // machines of this host have those from 64 on
	last := net[strings.LastIndex(net, ".")+1:]
	n, err := strconv.Atoi(last)
	require.NoError(t, err)
	base := strings.TrimSuffix(net, last)
	l := &lane{
		t: t, netns: fmt.Sprint("rondo-", pid), here: fmt.Sprint(base, n+1), in: fmt.Sprint(base, n+2),
		ends: [2]string{fmt.Sprint("rf", pid, "a"), fmt.Sprint("rf", pid, "b")},
	}
	needsTool(t, "ip")
	if out, err := exec.Command("ip", "netns", "add", l.netns).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", l.ends[0]).Run()
		l.ip("netns", "del", l.netns)
	})
	l.ip("link", "add", l.ends[0], "type", "veth", "peer", "name", l.ends[1], "netns", l.netns)
	l.ip("addr", "add", l.here+"/30", "dev", l.ends[0])
	l.ip("link", "set", l.ends[0], "up")
	l.ip("-n", l.netns, "addr", "add", l.in+"/30", "dev", l.ends[1])
	l.ip("-n", l.netns, "link", "set", l.ends[1], "up")
	l.ip("-n", l.netns, "link", "set", "lo", "up")
	return l
}

func (l *lane) ip(args ...string) {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Errorf("ip %v: %v %s", args, err, out)
	}
}

// flap cuts the lane in both directions or one, and heals it, until ctx ends.
func (l *lane) flap(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		var cut, heal []string
		switch i % 3 {
		case 0:
			cut = []string{"link", "set", l.ends[0], "down"}
			heal = []string{"link", "set", l.ends[0], "up"}
		case 1: // what the server sends is lost
			cut = []string{"route", "add", "blackhole", l.in + "/32"}
			heal = []string{"route", "del", "blackhole", l.in + "/32"}
		case 2: // what the agent sends is lost
			cut = []string{"-n", l.netns, "route", "add", "blackhole", l.here + "/32"}
			heal = []string{"-n", l.netns, "route", "del", "blackhole", l.here + "/32"}
		}
		l.ip(cut...)
		pause(ctx, 200, 900)
		l.ip(heal...)
		pause(ctx, 200, 900)
	}
}

// TestP7a_FlappingNetworkAndKills cuts the network of the agents again and
// again, in both directions and in one, and kills the server. The output that
// is stored in the end is what the job said.
func TestP7a_FlappingNetworkAndKills(t *testing.T) { short(t); flappingNetwork(t, 1, 400_000) }

func TestFault_P7a_FlappingNetworkAndKills(t *testing.T) {
	faulty(t)
	flappingNetwork(t, 4, 20_000_000)
}

func flappingNetwork(t *testing.T, times, bytes int) {
	l := newLane(t)
	b := newTalker(t, bytes)
	b.lines(10)
	_, port, _ := strings.Cut(b.agents, ":")
	b.agents = l.here + ":" + port
	b.detour = "netns=" + l.netns + ",door=http://" + b.agents
	b.start()
	for range times {
		ctx, stop := context.WithCancel(t.Context())
		var one sync.WaitGroup
		pipeline, _ := b.run()
		one.Go(func() { l.flap(ctx) })
		for range 2 {
			pause(ctx, 2500, 3000)
			b.s.kill()
			b.start()
		}
		stop()
		one.Wait()
		b.heard(pipeline)
	}
	b.finish()
}

// TestP8a_WatchersOverABadProxy cuts those who watch a log again and again.
// Each goes on where it was, and has the whole in the end.
func TestP8a_WatchersOverABadProxy(t *testing.T) { short(t); watchers(t, 20, 400_000) }

func TestFault_P8a_WatchersOverABadProxy(t *testing.T) { faulty(t); watchers(t, 200, 2_000_000) }

func watchers(t *testing.T, n, bytes int) {
	b := newTalker(t, bytes)
	b.lines(10)
	p := newProxy("127.0.0.1:0", b.listen)
	require.NoError(t, p.Start())
	defer p.Stop()
	b.start()
	pipeline, job := b.run()
	var all sync.WaitGroup
	saw, cuts := make([]string, n), make([]int, n)
	for w := range n {
		all.Go(func() { saw[w], cuts[w] = b.watch(p.Listen, job.ID) })
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() { all.Wait(); stop() }()
	for range 30 {
		if pause(ctx, 300, 800); ctx.Err() != nil {
			break
		}
		p.Stop() // resets all
		require.NoError(t, p.Start())
	}
	all.Wait()
	b.heard(pipeline)
	want := b.s.log(job.ID, 0, 2)
	total := 0
	for w := range saw {
		require.Equal(t, len(want), len(saw[w]), "watcher %d", w)
		require.True(t, want == saw[w], "watcher %d", w)
		total += cuts[w]
	}
	require.Positive(t, total)
	t.Logf("%d watchers, cut %d times", n, total)
	b.finish()
}

// watch follows the output of the step at a server's address to its end, from
// where it was cut off each time.
func (b *bench) watch(address, job string) (saw string, cuts int) {
	var got strings.Builder
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		req, err := http.NewRequest("GET", fmt.Sprintf("http://%s/api/v2/rondo/log?task=%s.0&step=2&follow=true&offset=%d", address, job, got.Len()), nil)
		if err != nil {
			return err.Error(), cuts
		}
		req.Header.Set("Circle-Token", b.token)
		res, err := client.Do(req)
		if err != nil {
			cuts++
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if res.StatusCode == http.StatusOK {
			_, err = io.Copy(&got, res.Body)
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK && err == nil {
			return got.String(), cuts
		}
		cuts++
		time.Sleep(20 * time.Millisecond)
	}
	return got.String(), cuts
}
