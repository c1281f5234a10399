package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
	"golang.org/x/term"
)

// table is the live view on a terminal: a row per job, redrawn in place, and
// at the end the last lines of what failed.
type table struct {
	out  *os.File
	stop chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	rows  []*row
	byJob map[ci.JobID]*row
	drawn int // lines on the screen
}

// row is a job on the screen.
type row struct {
	name    string
	status  ci.Status
	reason  string
	step    string
	line    string
	tail    []string // the last lines of the job
	started time.Time
	stopped time.Time
}

const tailLines = 20

func newTable(out *os.File) *table {
	t := &table{out: out, stop: make(chan struct{}), byJob: map[ci.JobID]*row{}}
	t.done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-t.stop:
				return
			case <-tick.C:
				t.mu.Lock()
				t.draw()
				t.mu.Unlock()
			}
		}
	})
	return t
}

func (t *table) Event(e ci.Event) {
	if e.Job == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.byJob[e.Job]
	if r == nil {
		r = &row{name: e.Name}
		t.byJob[e.Job] = r
		t.rows = append(t.rows, r)
	}
	switch e.Kind {
	case ci.StepStarted:
		r.step, r.line = e.Step.Name, ""
		return
	case ci.StepEnded:
		return
	case ci.JobStarted:
		r.started = e.Time
	case ci.JobEnded, ci.JobApproved:
		r.stopped = e.Time
	}
	r.status, r.reason = e.Status, e.Reason
}

func (t *table) Output(s source, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.name != s.Job || r.status.Ended() {
			continue
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimRight(line, "\r\n")
			r.line = line
			r.tail = append(r.tail, line)
		}
		if len(r.tail) > tailLines {
			r.tail = append([]string(nil), r.tail[len(r.tail)-tailLines:]...)
		}
	}
}

// draw replaces the rows on the screen.
func (t *table) draw() {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil || width < 20 {
		width, height = 80, 24
	}
	var b bytes.Buffer
	if t.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", t.drawn)
	}
	rows := t.rows
	if most := max(height-2, 1); len(rows) > most { // only what fits can be redrawn
		rows = rows[len(rows)-most:]
	}
	for _, r := range rows {
		text := fmt.Sprintf("%-28s %8s  ", r.name, r.took())
		switch {
		case r.status == ci.Running && r.line != "":
			text += r.step + ": " + printable(r.line)
		case r.status == ci.Running:
			text += r.step
		default:
			text += string(r.status) + because(r.reason)
		}
		fmt.Fprintf(&b, "\r\x1b[K%s %s\n", mark(r.status, true), clip(text, width-3))
	}
	t.drawn = len(rows)
	_, _ = t.out.Write(b.Bytes())
}

func (r *row) took() string {
	switch {
	case r.started.IsZero():
		return ""
	case r.stopped.IsZero():
		return took(time.Since(r.started).Seconds())
	}
	return took(r.stopped.Sub(r.started).Seconds())
}

func (t *table) Close(s summary) {
	close(t.stop)
	t.done.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draw()
	for _, r := range t.rows {
		if r.status.Bad() && len(r.tail) > 0 {
			fmt.Fprintf(t.out, "\n%s, the last lines of %q:\n", r.name, r.step)
			for _, line := range r.tail {
				fmt.Fprintln(t.out, "  "+line)
			}
		}
	}
	s.print(t.out, true)
}

// printable drops control characters, so that a job cannot move the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// clip cuts the text to a number of characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(n-1, 0)]) + "…"
}
