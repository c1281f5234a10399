package pusher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/pusher"
)

// P8: clients that lose their connection again and again see every event of
// their channel once and in order, while several writers write.
func TestP8_ResumeWithoutGap(t *testing.T) {
	w := newWorld(t, pusher.Config{})
	begin, err := w.db.LastEvent(t.Context())
	require.NoError(t, err)
	var writers, clients sync.WaitGroup
	written := make(chan struct{})
	for i := range 3 {
		writers.Go(func() {
			for range 15 {
				w.lease(w.trigger([]ci.ProjectID{"p", "open", "p"}[i]))
			}
		})
	}
	go func() { writers.Wait(); close(written) }()
	seen := make([][]uint64, 6)
	ours := func(e ci.Event) bool { return e.Project == "p" }
	for i := range seen {
		clients.Go(func() {
			after := begin
			for done := false; !done; {
				var last []uint64
				select {
				case <-written:
					done = true // one more round, to the end
					last = w.events(begin, ours)
				default:
				}
				c := w.client()
				require.Equal(t, after, c.subscribe("private-project-p", "after", fmt.Sprint(after)))
				for n := 0; n < 5+i*7 && !done || done && after < last[len(last)-1]; n++ {
					read := c.brief
					if done {
						read = c.read
					}
					m, err := read()
					if err != nil {
						break // nothing happens just now
					}
					after = m.seq(t)
					seen[i] = append(seen[i], after)
				}
				_ = c.ws.CloseNow()
			}
		})
	}
	clients.Wait()
	for i, got := range seen {
		require.Equal(t, w.events(begin, ours), got, "client %d", i)
	}
}

// A number that the server never gave, one that is too old, and the parameter
// for many channels.
func TestSEC06_Positions(t *testing.T) {
	w := newWorld(t, pusher.Config{})
	w.trigger("p")
	last, err := w.db.LastEvent(t.Context())
	require.NoError(t, err)
	c := w.client()
	require.Equal(t, last, c.subscribe("private-project-p", "after", "99999999999"))
	f := w.trigger("p")
	require.Equal(t, last+1, c.next().seq(t))
	c = w.client()
	require.EqualValues(t, 1, c.subscribe("private-pipeline-"+string(f.Pipeline), "after", `{"private-pipeline-`+string(f.Pipeline)+`":1,"private-project-p":3}`))
	require.Equal(t, "pipeline.created", c.next().Event)
	c = w.client()
	c.say(`{"event":"pusher:subscribe","data":{"channel":"project-open","after":2}}`)
	require.EqualValues(t, 2, c.next().seq(t))
}

// The lines of a job, from wherever the client was.
func TestSEC06_OutputLineByLine(t *testing.T) {
	w := newWorld(t, pusher.Config{})
	f := w.trigger("p")
	l := w.lease(f)
	channel := "private-job-" + string(f.Jobs[0].ID)
	key := ci.LogKey{Task: l.Task, Epoch: 1, Step: 1}
	var whole strings.Builder
	write := func(text string) {
		_, err := w.logs.Append(t.Context(), key, int64(whole.Len()), []byte(text))
		require.NoError(t, err)
		whole.WriteString(text)
	}
	type line struct {
		Node, Step int
		Epoch      int64
		From, To   int64
		Text       string
	}
	next := func(c *client) line {
		for {
			m := c.next()
			if m.Event == "output" {
				var o line
				require.NoError(t, json.Unmarshal([]byte(m.text()), &o))
				return o
			}
		}
	}
	now := w.client()
	now.subscribe(channel)
	step := ci.Step{Index: 1, Kind: ci.StepRun, Name: "make", Status: ci.Running, Started: time.Now()}
	require.NoError(t, w.db.PutStep(t.Context(), l, step))
	write("one\ntwo\nthr")
	require.Equal(t, line{Step: 1, Epoch: 1, From: 0, To: 8, Text: "one\ntwo\n"}, next(now))
	write("ee\n")
	require.Equal(t, line{Step: 1, Epoch: 1, From: 8, To: 14, Text: "three\n"}, next(now))
	write(strings.Repeat("x", 20_000) + "\n" + strings.Repeat("line\n", 10_000))

	// Others come in the middle: with what they have, with nothing, and now.
	follow := func(c *client, from int64) {
		var got strings.Builder
		for from+int64(got.Len()) < int64(whole.Len()) {
			o := next(c)
			require.Equal(t, from+int64(got.Len()), o.From)
			require.LessOrEqual(t, len(o.Text), 16<<10)
			got.WriteString(o.Text)
		}
		require.True(t, whole.String()[from:] == got.String())
	}
	follow(now, 14)
	var clients []*client
	froms := []int64{0, 8, 20_000, int64(whole.Len())}
	for _, from := range froms {
		c := w.client()
		c.subscribe(channel, "after", "0", "output", fmt.Sprintf(`{"0.1.1":%d,"9.9.9":4}`, from))
		clients = append(clients, c)
	}
	late := w.client()
	late.subscribe(channel)
	at := int64(whole.Len())
	write("four\n")
	write("five, without an end")
	step.Status, step.Bytes = ci.Success, int64(whole.Len())
	require.NoError(t, w.db.PutStep(t.Context(), l, step))
	require.NoError(t, w.logs.End(t.Context(), l.Task, 1))
	for i, c := range clients {
		follow(c, froms[i])
	}
	follow(now, at)
	// The feed runs already, so what comes after the subscription is sent.
	follow(late, at)

	// When all have gone and one comes back, the step is over.
	for _, c := range append(clients, now, late) {
		_ = c.ws.CloseNow()
	}
	c := w.client()
	c.subscribe(channel, "after", "0", "output", `{}`)
	follow(c, 0)
}

// A client that does not read is dropped; the others get everything.
func TestSEC06_SlowClientIsDropped(t *testing.T) {
	w := newWorld(t, pusher.Config{Queue: 16})
	f := w.trigger("p")
	l := w.lease(f)
	channel := "private-job-" + string(f.Jobs[0].ID)
	step := ci.Step{Index: 0, Kind: ci.StepRun, Name: "make", Status: ci.Running, Started: time.Now()}
	require.NoError(t, w.db.PutStep(t.Context(), l, step))
	slow, good := w.client(), w.client()
	slow.subscribe(channel)
	good.subscribe(channel, "after", "0", "output", "{}")
	text := []byte(strings.Repeat(strings.Repeat("x", 1023)+"\n", 16))
	var got int64
	for i := range int64(1500) {
		_, err := w.logs.Append(t.Context(), ci.LogKey{Task: l.Task, Epoch: 1}, i*int64(len(text)), text)
		require.NoError(t, err)
		for got < (i+1)*int64(len(text)) {
			m, err := good.read()
			require.NoError(t, err, "the good one has %d bytes", got)
			if m.Event == "output" {
				var o struct{ From, To int64 }
				require.NoError(t, json.Unmarshal([]byte(m.text()), &o))
				require.Equal(t, got, o.From)
				got = o.To
			}
		}
	}
	var late int64
	for {
		m, err := slow.read()
		if err != nil {
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		late += int64(len(m.Data))
	}
	require.Less(t, late, got, "it was dropped before it had everything")
}
