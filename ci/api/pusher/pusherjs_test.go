package pusher_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/apitest"
	"github.com/rondo-ci/rondo/ci/api/pusher"
)

// A relay stands between a client and the server, to cut them off.
type relay struct {
	port  int
	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{port: l.Addr().(*net.TCPAddr).Port}
	t.Cleanup(r.cut)
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				_ = a.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, a, b)
			r.mu.Unlock()
			for _, p := range [][2]net.Conn{{a, b}, {b, a}} {
				go func() {
					_, _ = io.Copy(p[0], p[1])
					_, _ = p[0].Close(), p[1].Close()
				}()
			}
		}
	}()
	return r
}

// cut ends all connections.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

type line struct {
	State, Error, Channel, Event string
	Joined                       *uint64
	Refused                      int
	Data                         struct {
		Seq  uint64
		Text string
	}
}

// SEC-06: the client that others publish connects, subscribes, receives, is
// cut off and comes back without a gap.
func TestSEC06_PusherJS(t *testing.T) {
	npm := apitest.Npm(t, "testdata/npm")
	w := newWorld(t, pusher.Config{})
	r := newRelay(t, strings.TrimPrefix(w.url, "http://"))
	f := w.trigger("p")
	l := w.lease(f)
	job := "private-job-" + string(f.Jobs[0].ID)
	node := exec.CommandContext(t.Context(), "node", "testdata/client.js", npm, fmt.Sprint(r.port), token, "private-project-p", "project-open", job, "private-project-q", "project-p")
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, node.Start())
	t.Cleanup(func() { _ = node.Process.Kill(); _ = node.Wait() })
	lines := make(chan line, 10_000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			var l line
			if err := json.Unmarshal(s.Bytes(), &l); err != nil {
				t.Errorf("%s: %v", s.Text(), err)
			}
			lines <- l
		}
	}()
	seen := map[string][]uint64{}
	start := map[string]uint64{}
	joins, refused, connected, text := 0, map[string]int{}, 0, ""
	until := func(what string, done func() bool) {
		t.Helper()
		late := time.After(60 * time.Second)
		for !done() {
			select {
			case l, ok := <-lines:
				require.True(t, ok, "the client has ended before %s", what)
				switch {
				case l.Joined != nil:
					joins++
					if _, ok := start[l.Channel]; !ok {
						start[l.Channel] = *l.Joined
					}
				case l.Refused != 0:
					refused[l.Channel] = l.Refused
				case l.State == "connected":
					connected++
				case l.Event == "output":
					text += l.Data.Text
				case l.Event != "":
					seen[l.Channel] = append(seen[l.Channel], l.Data.Seq)
				}
			case <-late:
				t.Fatalf("not seen: %s; joins %d, connected %d, %v", what, joins, connected, seen)
			}
		}
	}
	until("subscriptions", func() bool { return joins == 3 && len(refused) == 2 })
	require.Equal(t, map[string]int{"private-project-q": 403, "project-p": 403}, refused)

	step := ci.Step{Index: 0, Kind: ci.StepRun, Name: "make", Status: ci.Running, Started: time.Now()}
	require.NoError(t, w.db.PutStep(t.Context(), l, step))
	_, err = w.logs.Append(t.Context(), ci.LogKey{Task: l.Task, Epoch: 1}, 0, []byte("héllo\n\x1b[31mwörld\n"))
	require.NoError(t, err)
	until("output", func() bool { return text == "héllo\n\x1b[31mwörld\n" })

	complete := func(channel string, project ci.ProjectID) func() bool {
		return func() bool {
			want := w.events(start[channel], func(e ci.Event) bool { return e.Project == project })
			return len(seen[channel]) >= len(want)
		}
	}
	for i := range 3 {
		for range 5 {
			w.trigger("p")
			w.trigger("open")
		}
		until("live events", complete("private-project-p", "p"))
		r.cut()
		for range 5 { // while it is away
			w.trigger("p")
		}
		until("coming back", func() bool { return connected == i+2 })
		until("missed events", complete("private-project-p", "p"))
	}
	require.Equal(t, w.events(start["private-project-p"], func(e ci.Event) bool { return e.Project == "p" }), seen["private-project-p"])
	require.NotEmpty(t, seen["project-open"])
	require.NotEmpty(t, seen[job])
	require.Empty(t, seen["private-project-q"])
}
