package pusher

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// The example of the protocol's documentation.
func TestSign(t *testing.T) {
	s := New(nil, nil, Config{Key: "278d425bdf160c739803", Secret: "7ad3773142a6692b25b8"})
	require.Equal(t, "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4", s.sign("1234.1234", "private-foobar", ""))
	require.False(t, s.signed("", "1234.1234", "private-foobar", ""))
}

// The cost of one event for many subscribers: it is encoded once.
func BenchmarkTell(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := New(nil, nil, Config{})
			live := make(chan []byte, 1<<10)
			go func() {
				for range live {
				}
			}()
			conns := make([]*conn, n)
			s.mu.Lock()
			for i := range conns {
				conns[i] = &conn{s: s, live: make(chan []byte, 1), quit: make(chan struct{}), subs: map[string]*sub{}}
				s.join(&sub{conn: conns[i], channel: "private-project-p"})
			}
			s.mu.Unlock()
			b.ReportAllocs()
			seq := uint64(0)
			for b.Loop() {
				seq++
				s.tell(context.Background(), ci.Event{Seq: seq, Kind: ci.JobStarted, Project: "p", Pipeline: "l", Job: "j", Name: "build"})
				for _, c := range conns {
					<-c.live
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/subscriber")
		})
	}
}
