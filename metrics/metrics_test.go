package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rondo-ci/rondo/metrics"
	"github.com/stretchr/testify/require"
)

// Any quantile is within 1 % (and a little for the ends of buckets).
func TestSketch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() float64{
		"lognormal": func() float64 { return math.Exp(3 * r.NormFloat64()) },
		"uniform":   func() float64 { return 1000 * r.Float64() },
		"negative":  func() float64 { return r.NormFloat64() },
		"constant":  func() float64 { return 42 },
	} {
		var all []float64
		var a, b metrics.Sketch
		for i := range 10_000 {
			v := draw()
			all = append(all, v)
			if i%2 == 0 {
				a.Add(v, 1)
			} else {
				b.Add(v, 1)
			}
		}
		a.Merge(&b)
		slices.Sort(all)
		require.EqualValues(t, 10_000, a.Count)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1} {
			want := all[int(q*float64(len(all)-1))]
			require.InDelta(t, want, a.Quantile(q), 0.0101*math.Abs(want)+1e-6, "%s %v", name, q)
		}
	}
	var s metrics.Sketch
	s.Add(math.NaN(), 1)
	s.Add(math.Inf(1), 1)
	s.Add(1, -1)
	require.Zero(t, s.Count)
	require.Zero(t, s.Quantile(0.5))
}

func TestRegistry(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	r := metrics.NewRegistry(func() time.Time { return at })
	tags := metrics.Tags("class", "small")
	r.Count("jobs", 2, tags...)
	r.Count("jobs", 3, tags...)
	r.Gauge("load", 7)
	r.Observe("wait", 0.5)
	r.Count("load", 1) // another kind: ignored
	at = at.Add(10 * time.Second)
	got, err := r.Gather(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.EqualValues(t, 5, got[0].Value)
	require.Equal(t, 10*time.Second, got[0].Interval)
	require.EqualValues(t, 1, got[2].Sketch.Count)
	got, err = r.Gather(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 1, "only the gauge stays")
	r.Forget("load")
	got, err = r.Gather(t.Context())
	require.NoError(t, err)
	require.Empty(t, got)
	for i := range 1500 {
		r.Count("bomb", 1, metrics.Tag{Key: "build", Value: fmt.Sprint(i)})
	}
	got, err = r.Gather(t.Context())
	require.NoError(t, err)
	require.Len(t, got, 1002, "1000, one for the others, and how many were folded")
	sum := 0.0
	for _, s := range got[:1001] {
		sum += s.Value
	}
	require.EqualValues(t, 1500, sum)
	(*metrics.Registry)(nil).Count("x", 1)
}

// box is a sink whose answers a test gives.
type box struct {
	mu     sync.Mutex
	got    []metrics.Sample
	answer func(batch []metrics.Sample) error
}

func (b *box) Write(_ context.Context, batch []metrics.Sample) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answer != nil {
		if err := b.answer(batch); err != nil {
			return err
		}
	}
	b.got = append(b.got, batch...)
	return nil
}

func (b *box) values() []float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []float64
	for _, s := range b.got {
		all = append(all, s.Value)
	}
	return all
}

func sink(name string, b metrics.Sink) metrics.Named[metrics.Sink] {
	return metrics.Named[metrics.Sink]{Name: name, T: b}
}

func one(v float64) metrics.Sample { return metrics.Sample{Name: "x", Kind: metrics.Count, Value: v} }

// run runs a hub in a bubble until f returns.
func run(t *testing.T, h *metrics.Hub, f func()) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	synctest.Wait()
	f()
	stop()
	require.NoError(t, <-done)
}

// A sink that hangs or is away changes nothing for another one; when it is back
// it gets the newest that its buffer holds.
func TestMET_DeadSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		away := errors.New("away")
		dead, fine := &box{answer: func([]metrics.Sample) error { return away }}, &box{}
		h := metrics.NewHub(nil, metrics.Config{Buffer: 100, Batch: 10, Log: slog.New(slog.NewTextHandler(&log, nil)), Tags: metrics.Tags("Env", "production")})
		h.Use(sink("dead", dead), sink("fine", fine))
		run(t, h, func() {
			for i := range 500 {
				h.Put(one(float64(i)))
				if i%10 == 0 {
					synctest.Wait()
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, 1, strings.Count(log.String(), "sink fails"), log.String())
			dead.mu.Lock()
			dead.answer = nil
			dead.mu.Unlock()
			time.Sleep(5 * time.Minute)
			synctest.Wait()
		})
		require.Equal(t, 1, strings.Count(log.String(), "works again"))
		count := 0
		for _, v := range fine.got {
			if v.Name == "x" {
				count++
				require.Equal(t, metrics.Tags("Env", "production"), v.Tags, "MET-13")
			}
		}
		require.Equal(t, 500, count)
		kept := slices.DeleteFunc(dead.values(), func(v float64) bool { return v < 400 })
		require.LessOrEqual(t, len(dead.values()), 200)
		require.NotEmpty(t, kept)
		var dropped float64
		for _, s := range fine.got {
			if s.Name == "metrics.dropped_total" {
				dropped += s.Value
			}
		}
		require.GreaterOrEqual(t, dropped, 350.0)
	})
}

// Of a batch that a platform refuses, only the bad sample is lost.
func TestMET_PoisonedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{answer: func(batch []metrics.Sample) error {
			for _, s := range batch {
				if s.Value == 13 {
					return fmt.Errorf("%w: 13", metrics.ErrRefused)
				}
			}
			return nil
		}}
		h := metrics.NewHub(nil, metrics.Config{})
		h.Use(sink("picky", b))
		run(t, h, func() {
			var all []metrics.Sample
			for i := range 100 {
				all = append(all, one(float64(i)))
			}
			h.Put(all...)
			synctest.Wait()
		})
		var x []float64
		for _, s := range b.got {
			if s.Name == "x" {
				x = append(x, s.Value)
			}
		}
		slices.Sort(x)
		require.Len(t, x, 99)
		require.NotContains(t, x, 13.0)
	})
}

// New settings while samples wait lose none, and need no restart.
// A page that is asked gathers while the hub does.
func TestMET08_GatherFromTwoSides(t *testing.T) {
	var asked sync.Mutex
	n := 0
	failing := metrics.InputFunc(func(context.Context) ([]metrics.Sample, error) {
		if !asked.TryLock() {
			t.Error("asked twice at once")
			return nil, nil
		}
		defer asked.Unlock()
		time.Sleep(time.Millisecond)
		n++
		return nil, errors.New("no figures")
	})
	h := metrics.NewHub([]metrics.Named[metrics.Input]{{Name: "one", T: failing}}, metrics.Config{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				h.Gather(t.Context())
			}
		})
	}
	all.Wait()
	require.Equal(t, 40, n)
}

func TestMET12_Reload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := &box{answer: func([]metrics.Sample) error { return errors.New("wrong key") }}
		second, other := &box{}, &box{}
		h := metrics.NewHub(nil, metrics.Config{})
		h.Use(sink("datadog", first))
		run(t, h, func() {
			h.Put(one(1), one(2))
			time.Sleep(3 * time.Second)
			h.Use(sink("datadog", second), sink("influx", other))
			synctest.Wait()
			h.Put(one(3))
			synctest.Wait()
		})
		var x []float64
		for _, s := range second.got {
			if s.Name == "x" {
				x = append(x, s.Value)
			}
		}
		require.Equal(t, []float64{1, 2, 3}, x)
		require.Contains(t, other.values(), 3.0)
	})
}

// Healthy is silent; a fault is one line, and its end one.
func TestMET03_MET08_SilentUntilThePollFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var fault error
		var mu sync.Mutex
		poll := metrics.Poller{Poll: func(context.Context) (metrics.JobCounts, error) {
			mu.Lock()
			defer mu.Unlock()
			return metrics.JobCounts{Pending: 7, Running: 3, Complete: 2, Dead: 4}, fault
		}}
		b := &box{}
		h := metrics.NewHub([]metrics.Named[metrics.Input]{{Name: "cluster", T: poll}}, metrics.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		h.Use(sink("box", b))
		at := func() map[string]float64 {
			b.mu.Lock()
			defer b.mu.Unlock()
			got := map[string]float64{}
			for _, s := range b.got {
				got[strings.TrimPrefix(s.Name, "circle.nomad.server_agent.")] = s.Value
			}
			b.got = nil
			return got
		}
		run(t, h, func() {
			time.Sleep(5*time.Minute + time.Second)
			synctest.Wait()
			require.Empty(t, log.String())
			require.Equal(t, map[string]float64{"poll_failure": 0, "jobs.pending": 7, "jobs.running": 3, "jobs.complete": 2, "jobs.dead": 4}, at())
			mu.Lock()
			fault = errors.New("connection refused")
			mu.Unlock()
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, map[string]float64{"poll_failure": 1}, at(), "MET-03: no stale figures")
			require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
			mu.Lock()
			fault = nil
			mu.Unlock()
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
			require.Equal(t, map[string]float64{"poll_failure": 0, "jobs.pending": 7, "jobs.running": 3, "jobs.complete": 2, "jobs.dead": 4}, at(), "MET-03: healed")
		})
	})
}

// The catalogue has each name once, with a help, and the five of the guide.
func TestMET04_Catalogue(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range metrics.Catalogue() {
		require.False(t, seen[m.Name], m.Name)
		seen[m.Name] = true
		require.NotEmpty(t, m.Help, m.Name)
		require.NotEmpty(t, m.Unit, m.Name)
	}
	for _, n := range []string{"poll_failure", "jobs.pending", "jobs.running", "jobs.complete", "jobs.dead"} {
		require.True(t, seen["circle.nomad.server_agent."+n])
	}
}

func BenchmarkCount(b *testing.B) {
	tags := metrics.Tags("class", "small", "executor", "docker")
	for name, h := range map[string]*metrics.Registry{"none": nil, "registry": metrics.NewRegistry(nil)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Count("jobs", 1, tags...)
			}
		})
	}
}

// BenchmarkDeadSink is what a sink that never answers costs those who count.
func BenchmarkDeadSink(b *testing.B) {
	for name, dead := range map[string]bool{"no sink": false, "dead sink": true} {
		b.Run(name, func(b *testing.B) {
			r := metrics.NewRegistry(nil)
			h := metrics.NewHub([]metrics.Named[metrics.Input]{{Name: "own", T: r}}, metrics.Config{Interval: 10 * time.Millisecond})
			if dead {
				h.Use(sink("dead", stuck{}))
			}
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- h.Run(ctx) }()
			for b.Loop() {
				r.Count("jobs", 1)
			}
			stop()
			<-done
		})
	}
}

type stuck struct{}

func (stuck) Write(ctx context.Context, _ []metrics.Sample) error { <-ctx.Done(); return ctx.Err() }

func ExampleHub() {
	r := metrics.NewRegistry(nil)
	h := metrics.NewHub([]metrics.Named[metrics.Input]{{Name: "own", T: r}}, metrics.Config{})
	b := &box{}
	h.Use(sink("box", b))
	r.Count("jobs.ended_total", 3)
	h.Gather(context.Background()) // Run does this at every interval
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := h.Run(ctx); err != nil { // and gives sinks what waits at the end
		fmt.Println(err)
	}
	fmt.Println(b.got[0].Name, b.got[0].Value)
	// Output: jobs.ended_total 3
}
