package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestP21a_Burst asks for many pipelines at once while others read. All that
// was accepted ends, everybody who reads gets an answer, and the figures are in
// the log of the test.
func TestP21a_Burst(t *testing.T) { short(t); burst(t, 200, 8) }

func TestFault_P21a_Burst(t *testing.T) { faulty(t); burst(t, 6000, 32) }

func burst(t *testing.T, pipelines, clients int) {
	i := newSite(t, newRepo(t, joint).dir)
	i.settled()
	i.start()
	l := newLedger(t)
	done := make(chan struct{})
	var reads, acks durations
	var reader, asking sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			code, body := i.s.call("GET", "/api/v2/project/"+i.slug+"/pipeline", "")
			reads.add(time.Since(began))
			if code != http.StatusOK {
				t.Errorf("a reader got %d %s", code, body)
			}
		}
	})
	began := time.Now()
	for range clients {
		asking.Go(func() {
			for range pipelines / clients {
				began := time.Now()
				id, status := i.trigger()
				acks.add(time.Since(began))
				l.note(id, status)
			}
		})
	}
	asking.Wait()
	took := time.Since(began)
	close(done)
	reader.Wait()
	accepted, unknown := l.read()
	require.Zero(t, unknown, i.s.errors())
	i.end(accepted...)
	l.settle(i, 1)
	t.Logf("%d accepted in %s; an answer after %s, for readers after %s; peak memory %s",
		len(accepted), took.Round(time.Millisecond), &acks, &reads, peak(i.s.cmd.Process.Pid))
	i.finish()
}

// durations are the times of many answers.
type durations struct {
	mu   sync.Mutex
	list []time.Duration
}

func (d *durations) add(one time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, one)
}

// String says what half and 99 of 100 of them were.
func (d *durations) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return "none"
	}
	slices.Sort(d.list)
	at := func(part float64) time.Duration {
		return d.list[int(part*float64(len(d.list)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%s (p50), %s (p99)", at(.5), at(.99))
}

// peak is the most memory that the process had.
func peak(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// rude are clients that do what no client should, each on a connection of its
// own.
var rude = map[string]func(c net.Conn){
	"says nothing":            func(net.Conn) {},
	"stops in its first line": func(c net.Conn) { _, _ = io.WriteString(c, "GET /api/v2/me HT") },
	"stops in its headers": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /api/v2/project/gh/a/b/pipeline HTTP/1.1\r\nHost: x\r\nX-A: b\r\n")
	},
	"stops in its body": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
	},
	"has no end of headers": func(c net.Conn) {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-Filler: "+strings.Repeat("a", 1000)+"\r\n", 3000))
	},
	"has no end of body": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /api/v2/context HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3000 {
			if _, err := io.WriteString(c, "1000\r\n"+strings.Repeat("a", 0x1000)+"\r\n"); err != nil {
				return
			}
		}
	},
	"speaks TLS":   func(c net.Conn) { _ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
	"speaks noise": func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("\x00\xff\x16\r\n", 5000))) },
	"never reads": func(c net.Conn) {
		_, _ = io.WriteString(c, strings.Repeat("GET /api/v2/rondo/log?task=x HTTP/1.1\r\nHost: x\r\n\r\n", 20_000))
	},
}

// TestP22a_RudeClients keeps many bad connections to both doors while others
// work. They are answered, and when the bad ones are gone nothing of them is
// left.
func TestP22a_RudeClients(t *testing.T) { short(t); rudeClients(t, 5) }

func TestFault_P22a_RudeClients(t *testing.T) { faulty(t); rudeClients(t, 60) }

func rudeClients(t *testing.T, each int) {
	b := newBench(t, "")
	b.lines(3)
	b.start()
	files := func() int {
		all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.s.cmd.Process.Pid))
		require.NoError(t, err)
		return len(all)
	}
	pipeline, _ := b.run()
	b.end(pipeline)
	before := files()
	var conns []net.Conn
	var all sync.WaitGroup
	for _, address := range []string{b.listen, b.agents} {
		for _, act := range rude {
			for range each {
				c, err := net.Dial("tcp", address)
				require.NoError(t, err)
				require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
				conns = append(conns, c)
				all.Go(func() { act(c) })
			}
		}
	}
	var probes durations
	for range 3 {
		began := time.Now()
		pipeline, _ := b.run()
		b.end(pipeline)
		probes.add(time.Since(began))
	}
	t.Logf("beside %d bad connections a pipeline took %s", len(conns), &probes)
	all.Wait()
	for _, c := range conns {
		_ = c.Close()
	}
	b.s.eventually("their connections are closed", func() bool { return files() <= before+5 })
	b.finish()
}
