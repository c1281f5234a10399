package statsd_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/statsd"
	"github.com/stretchr/testify/require"
)

func TestMET14_Messages(t *testing.T) {
	for line, want := range map[string]statsd.Message{
		"jobs:1|c":                           {Name: "jobs", Values: []float64{1}, Weight: 1},
		"jobs:1|c|@0.1":                      {Name: "jobs", Values: []float64{1}, Weight: 10},
		"load:-2.5|g":                        {Name: "load", Type: statsd.Gauge, Values: []float64{-2.5}, Delta: true, Weight: 1},
		"load:+1|g|#b:2,a:1,c":               {Name: "load", Type: statsd.Gauge, Values: []float64{1}, Delta: true, Weight: 1, Tags: metrics.Tags("a", "1", "b", "2", "c", "true")},
		"took:250:500|ms|@1":                 {Name: "took", Type: statsd.Timing, Values: []float64{0.25, 0.5}, Weight: 1},
		"size:3|h|c:abc|T1700000000|e:it":    {Name: "size", Type: statsd.Spread, Values: []float64{3}, Weight: 1},
		"size:3|d|#env:ci|card:low":          {Name: "size", Type: statsd.Spread, Values: []float64{3}, Weight: 1, Tags: metrics.Tags("env", "ci")},
		"who:ada|s":                          {Name: "who", Type: statsd.Set, Member: "ada", Weight: 1},
		"_e{5,4}:title|text|d:1|#a:b":        {Type: statsd.Other},
		"_sc|db|0|#a:b":                      {Type: statsd.Other},
		"a\x01b:1|c":                         {Name: "a_b", Values: []float64{1}, Weight: 1},
		"url:1|c|#path:http://x/y,empty:,:x": {Name: "url", Values: []float64{1}, Weight: 1, Tags: metrics.Tags("path", "http://x/y")},
	} {
		got, err := statsd.Parse(line)
		require.NoError(t, err, line)
		require.Empty(t, cmp.Diff(want, got), line)
	}
	for _, line := range []string{"", "x", ":1|c", "x:|c", "x:a|c", "x:1|q", "x:1|", "x:1|c|@0", "x:1|c|@2", "x:1|c|@x", "x:nan|g", "x:inf|g", "x:1:|c",
		strings.Repeat("n", 300) + ":1|c", "x:1|c|#" + strings.Repeat("a,", 70), "x:1|c|#k:" + strings.Repeat("v", 300)} {
		_, err := statsd.Parse(line)
		require.Error(t, err, line)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"jobs:1|c|@0.1|#a:b", "x:+1|g", "x:1:2|ms", "who:a|s", "_sc|x", "|", ":|"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		m, err := statsd.Parse(line)
		if err == nil && m.Type != statsd.Other {
			require.NotEmpty(t, m.Name)
			require.LessOrEqual(t, len(m.Tags), 64)
		}
	})
}

// running starts a server and returns how to send to it and to gather once n
// packets have been read.
func running(t testing.TB, cfg statsd.Config) (send func(string), gather func(packets int) map[string]metrics.Sample) {
	s, err := statsd.Listen("127.0.0.1:0", cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	conn, err := net.Dial("udp", s.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	send = func(text string) { _, err := conn.Write([]byte(text)); require.NoError(t, err) }
	return send, func(packets int) map[string]metrics.Sample {
		all, n := map[string]metrics.Sample{}, 0.0
		for end := time.Now().Add(10 * time.Second); n < float64(packets) && time.Now().Before(end); time.Sleep(time.Millisecond) {
			samples, err := s.Gather(ctx)
			require.NoError(t, err)
			time.Sleep(5 * time.Millisecond) // what was counted is on its way to a parser
			more, err := s.Gather(ctx)
			require.NoError(t, err)
			for _, x := range append(samples, more...) {
				if x.Name == "statsd.packets_total" {
					n += x.Value
				}
				have, ok := all[x.Name]
				if ok && x.Kind == metrics.Count {
					x.Value += have.Value
				}
				if ok && x.Kind == metrics.Dist {
					x.Sketch.Merge(have.Sketch)
				}
				all[x.Name] = x
			}
		}
		require.EqualValues(t, packets, n)
		return all
	}
}

func TestMET14_Intake(t *testing.T) {
	send, gather := running(t, statsd.Config{})
	send("jobs:1|c\njobs:2|c|@0.5\r\n\nbroken\nload:7|g")
	send("took:250|ms\ntook:750|ms\nwho:a|s\nwho:b|s\nwho:a|s")
	got := gather(2)
	require.EqualValues(t, 5, got["jobs"].Value)
	require.EqualValues(t, 7, got["load"].Value)
	require.EqualValues(t, 1, got["statsd.malformed_total"].Value)
	require.EqualValues(t, 2, got["took"].Sketch.Count)
	require.InDelta(t, 0.5, got["took"].Sketch.Mean(), 1e-9)
	require.EqualValues(t, 2, got["who"].Value)
	send("load:+3|g\nload:-1|g")
	require.EqualValues(t, 9, gather(1)["load"].Value)
	require.NotContains(t, gather(0), "load")
}

func TestMET14_Strangers(t *testing.T) {
	send, gather := running(t, statsd.Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	send("jobs:1|c")
	got := gather(1)
	require.NotContains(t, got, "jobs")
	require.EqualValues(t, 1, got["statsd.dropped_total"].Value)
}

// Names that somebody makes up fill no memory.
func TestMET14_Flood(t *testing.T) {
	send, gather := running(t, statsd.Config{Series: 10, Parsers: 1})
	for i := range 100 {
		send(fmt.Sprintf("made.up.%d:1|c", i))
	}
	got := gather(100)
	require.Positive(t, got["statsd.dropped_total"].Value)
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := statsd.Parse("circle.http.request:12.5|ms|@0.5|#status:200,service:api"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIntake is a socket with packets of 30 samples each, as clients pack
// them.
func BenchmarkIntake(b *testing.B) {
	s, err := statsd.Listen("127.0.0.1:0", statsd.Config{})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() { stop(); <-done }()
	conn, err := net.Dial("udp", s.Addr().String())
	require.NoError(b, err)
	defer conn.Close()
	line := "circle.http.request:12.5|ms|#status:200,service:api\n"
	packet := []byte(strings.Repeat(line, 30))
	var read, dropped float64
	count := func() {
		samples, err := s.Gather(ctx)
		require.NoError(b, err)
		for _, x := range samples {
			switch x.Name {
			case "circle.http.request":
				read += x.Sketch.Count
			case "statsd.dropped_total":
				dropped += x.Value * 30
			}
		}
	}
	sent := 0.0
	for b.Loop() {
		if _, err := conn.Write(packet); err != nil {
			b.Fatal(err)
		}
		if sent += 30; int(sent)%30000 == 0 { // let the socket's buffer drain
			for count(); read+dropped < sent-30000*8; count() {
				time.Sleep(time.Millisecond)
			}
		}
	}
	for end := time.Now().Add(2 * time.Second); read+dropped < sent && time.Now().Before(end); time.Sleep(time.Millisecond) {
		count()
	}
	b.ReportMetric(read/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(100*(sent-read)/sent, "%lost")
}
