package bench

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// floor is the least a CI server can do: take a webhook, fetch the
// configuration, insert a row durably, run bash, write its output to a file
// and to whoever watches, and write the result durably. It has no queue, no
// agents, no graph and no recovery.
type floor struct {
	t    testing.TB
	db   *sql.DB
	dir  string
	url  string
	slot chan struct{}
	mu   sync.Mutex
	feed map[string]*feed
	done sync.Map // id -> chan struct{}
}

// feed is the output of one run for its watchers.
type feed struct {
	mu      sync.Mutex
	changed chan struct{}
	data    []byte
	closed  bool
}

func (f *feed) write(b []byte, end bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = append(f.data, b...)
	f.closed = f.closed || end
	close(f.changed)
	f.changed = make(chan struct{})
}

func newFloor(t testing.TB, slots int) *floor {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "floor.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE runs (id TEXT PRIMARY KEY, status TEXT NOT NULL)`)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.sh"), []byte("echo hi"), 0o644))
	f := &floor{t: t, db: db, dir: dir, slot: make(chan struct{}, slots), feed: map[string]*feed{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hook", f.hook)
	mux.HandleFunc("GET /watch/{id}", f.watch)
	server := httptest.NewServer(mux)
	f.url = server.URL
	t.Cleanup(func() { server.Close(); db.Close() })
	return f
}

func (f *floor) hook(w http.ResponseWriter, r *http.Request) {
	script, _ := io.ReadAll(r.Body)
	id := rand.Text()
	if _, err := f.db.Exec(`INSERT INTO runs VALUES (?, 'queued')`, id); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fd := &feed{changed: make(chan struct{})}
	f.mu.Lock()
	f.feed[id] = fd
	f.mu.Unlock()
	done := make(chan struct{})
	f.done.Store(id, done)
	go f.run(id, string(script), fd, done)
	fmt.Fprint(w, id)
}

func (f *floor) run(id, script string, fd *feed, done chan struct{}) {
	defer close(done)
	f.slot <- struct{}{}
	defer func() { <-f.slot }()
	if script == "" {
		b, _ := os.ReadFile(filepath.Join(f.dir, "config.sh"))
		script = string(b)
	}
	log, err := os.Create(filepath.Join(f.dir, id+".log"))
	if err != nil {
		f.t.Error(err)
		return
	}
	defer log.Close()
	cmd := exec.Command("/bin/bash", "-eo", "pipefail", "-c", script)
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		f.t.Error(err)
		return
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := out.Read(buf)
		if n > 0 {
			_, _ = log.Write(buf[:n])
			fd.write(buf[:n], false)
		}
		if err != nil {
			break
		}
	}
	_ = cmd.Wait()
	_ = log.Sync()
	if _, err := f.db.Exec(`UPDATE runs SET status = 'success' WHERE id = ?`, id); err != nil {
		f.t.Error(err)
	}
	fd.write(nil, true)
}

func (f *floor) watch(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fd := f.feed[r.PathValue("id")]
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	offset := 0
	for {
		fd.mu.Lock()
		data, closed, changed := fd.data[offset:], fd.closed, fd.changed
		fd.mu.Unlock()
		if !closed { // whole lines only
			data = data[:bytes.LastIndexByte(data, '\n')+1]
		}
		if len(data) > 0 {
			for line := range strings.Lines(string(data)) {
				fmt.Fprintf(w, "data: %s\n", strings.TrimSuffix(line, "\n"))
			}
			fmt.Fprint(w, "\n")
			w.(http.Flusher).Flush()
			offset += len(data)
			continue
		}
		if closed {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// trigger posts a script and returns the run's id.
func (f *floor) trigger(script string) string {
	res, err := http.Post(f.url+"/hook", "text/plain", strings.NewReader(script))
	require.NoError(f.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(f.t, err)
	return string(b)
}

// wait returns when the run has ended durably.
func (f *floor) wait(id string) {
	done, _ := f.done.Load(id)
	<-done.(chan struct{})
}

// firstLine returns when the watcher has seen the first line.
func (f *floor) firstLine(id string) {
	res, err := http.Get(f.url + "/watch/" + id)
	require.NoError(f.t, err)
	defer res.Body.Close()
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if strings.HasPrefix(s.Text(), "data: ") {
			return
		}
	}
	f.t.Error("no output")
}

// lines counts the lines a watcher gets until the run ends.
func (f *floor) lines(id string) int {
	res, err := http.Get(f.url + "/watch/" + id)
	require.NoError(f.t, err)
	defer res.Body.Close()
	n := 0
	s := bufio.NewScanner(res.Body)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if strings.HasPrefix(s.Text(), "data: ") {
			n++
		}
	}
	return n
}
