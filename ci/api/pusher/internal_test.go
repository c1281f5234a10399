package pusher

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// The example of the protocol's documentation.
func TestSign(t *testing.T) {
	s := New(nil, nil, Config{Key: "278d425bdf160c739803", Secret: "7ad3773142a6692b25b8"})
	require.Equal(t, "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4", s.sign("1234.1234", "private-foobar", "", ""))
	_, ok := s.signed("", "1234.1234", "private-foobar", "")
	require.False(t, ok)
}

// Whatever a client says, it is answered or ignored.
func FuzzHear(f *testing.F) {
	for _, text := range []string{
		`{"event":"pusher:ping","data":{}}`, `{"event":"pusher:subscribe","data":{"channel":"project-open","after":0}}`,
		`{"event":"pusher:subscribe","data":{"channel":"job-x","channel_data":"{\"after\":1,\"output\":{\"0.1.1\":-5}}"}}`,
		`{"event":"pusher:unsubscribe","data":{"channel":"project-open"}}`, `{"event":"client-x"}`, `{"event":1}`, `[[[[`,
	} {
		f.Add([]byte(text))
	}
	db := memdb.New()
	require.NoError(f, db.PutProject(f.Context(), ci.Project{ID: "open", Slug: "gh/a/open", Settings: ci.Settings{Open: true}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := New(db, nil, Config{})
		close(s.ready)
		c := &conn{s: s, id: "1.1", live: make(chan []byte, 10), back: make(chan []byte), quit: make(chan struct{}), subs: map[string]*sub{}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			var m incoming
			if json.Unmarshal(text, &m) == nil {
				c.hear(t.Context(), m)
				c.hear(t.Context(), incoming{Event: "pusher:ping"})
			}
			s.leave(c)
		}()
		for {
			select {
			case m := <-c.back:
				require.True(t, json.Valid(m), "%s", m)
			case m := <-c.live:
				require.True(t, json.Valid(m), "%s", m)
			case <-done:
				c.end(codeAgain, "")
				return
			}
		}
	})
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
