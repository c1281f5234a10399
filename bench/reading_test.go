package bench

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	_ "modernc.org/sqlite"
)

// BenchmarkWatchers is 200 live watchers of one log that grows by a line every
// 2 ms: how far the slowest watcher is behind at worst, from the step's echo
// to the client. Every watcher must get every line.
func BenchmarkWatchers(b *testing.B) {
	const watchers, n = 200, 1500
	r := newRondo(b, strings.Replace(trivial, "echo hi", fmt.Sprintf(`"sleep 1; for i in $(seq %d); do date +%%s%%N; sleep 0.002; done"`, n), 1))
	for b.Loop() {
		id := r.trigger()
		e := <-r.channel(r.started, id)
		var all sync.WaitGroup
		worst := make([]time.Duration, watchers)
		for i := range watchers {
			all.Go(func() {
				got, lag := r.read(e)
				if got != n {
					b.Errorf("watcher %d got %d lines", i, got)
				}
				worst[i] = lag
			})
		}
		all.Wait()
		r.wait(id)
		b.ReportMetric(slices.Max(worst).Seconds()*1000, "ms-behind")
	}
}

// read watches the output of a step to its end and returns how many lines came
// and how late the latest was.
func (r *rondo) read(e ci.Event) (lines int, worst time.Duration) {
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/api/v2/rondo/log?task=%s.0&step=%d", r.url, e.Job, e.Step.Index), nil)
	if err != nil {
		return 0, 0
	}
	req.Header.Set("Circle-Token", r.token)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0
	}
	defer res.Body.Close()
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, 4<<20)
	var text bytes.Buffer
	for in.Scan() {
		data, ok := bytes.CutPrefix(in.Bytes(), []byte("data: "))
		var piece string
		if !ok || json.Unmarshal(data, &piece) != nil {
			continue
		}
		now := time.Now().UnixNano()
		text.WriteString(piece)
		for {
			line, err := text.ReadString('\n')
			if err != nil {
				text.WriteString(line)
				break
			}
			lines++
			if at, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil {
				worst = max(worst, time.Duration(now-at))
			}
		}
	}
	return lines, worst
}

// BenchmarkList100k is one page of pipelines from the API of a server that has
// 100,000 of them.
func BenchmarkList100k(b *testing.B) {
	repo, data := newRepo(b, trivial), filepath.Join(b.TempDir(), "data")
	stop := startAt(b, repo, data)
	stop()
	fillPipelines(b, filepath.Join(data, "rondo.db"), 100_000)
	r := newRondoAt(b, repo, data)
	r.project()
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		r.do("GET", "/api/v2/project/"+r.slug+"/pipeline", "")
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
}

// startAt runs a server until its first pipeline has ended, and returns what
// stops it.
func startAt(b *testing.B, repo, data string) func() {
	r := newRondoAt(b, repo, data)
	return func() {
		_ = r.cmd.Process.Signal(os.Interrupt)
		_ = r.cmd.Wait()
	}
}

// fillPipelines adds copies of the first pipeline and its workflow.
func fillPipelines(b *testing.B, file string, n int) {
	pool, err := sql.Open("sqlite", file+"?_pragma=synchronous(OFF)&_pragma=foreign_keys(0)")
	require.NoError(b, err)
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	for _, q := range []string{
		`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i <= ?)
			INSERT INTO pipelines SELECT i, 'p-' || i, project, i, NULL, branch, state, created, body FROM n, pipelines WHERE seq = 1`,
		`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i <= ?)
			INSERT INTO workflows SELECT i, 'w-' || i, i, project, 1, created, body FROM n, workflows WHERE seq = 1`,
	} {
		_, err := pool.ExecContext(b.Context(), q, n)
		require.NoError(b, err)
	}
	_, err = pool.ExecContext(b.Context(), `UPDATE counters SET value = 10 * ?`, n)
	require.NoError(b, err)
}
