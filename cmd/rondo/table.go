package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/cmd/internal/screen"
	"golang.org/x/term"
)

// table is the live view on a terminal: a row per job, redrawn in place, and
// at the end the last lines of what failed.
type table struct {
	out  io.Writer
	fd   int
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
	index   int // of that step
	line    string
	tails   map[stepKey]*tail // of steps that run
	failed  string            // the first step that failed
	last    []string          // its last lines
	started time.Time
	stopped time.Time
}

const tailLines = 20

func newTable(out io.Writer, fd int) *table {
	t := &table{out: out, fd: fd, stop: make(chan struct{}), byJob: map[ci.JobID]*row{}}
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

// row returns the row of a job. The lock is held.
func (t *table) row(id ci.JobID, name string) *row {
	r := t.byJob[id]
	if r == nil {
		r = &row{name: screen.Text(name)}
		t.byJob[id] = r
		t.rows = append(t.rows, r)
	}
	return r
}

func (t *table) Event(e ci.Event) {
	if e.Job == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.row(e.Job, e.Name)
	switch e.Kind {
	case ci.StepStarted:
		r.now(e.Step.Index, e.Step.Name)
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
	r := t.row(s.JobID, s.Job)
	r.now(s.Index, s.Step)
	if r.tails == nil {
		r.tails = map[stepKey]*tail{}
	}
	if r.tails[s.key()] == nil {
		r.tails[s.key()] = &tail{}
	}
	r.line = r.tails[s.key()].add(data)
}

func (t *table) StepDone(s source, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.row(s.JobID, s.Job)
	if l := r.tails[s.key()]; l != nil && failed && r.failed == "" {
		r.failed, r.last = s.Step, l.all()
	}
	delete(r.tails, s.key())
}

// now notes what runs. News of an earlier step may come late.
func (r *row) now(index int, step string) {
	if index >= r.index && step != "" {
		if index > r.index {
			r.line = ""
		}
		r.step, r.index = screen.Text(step), index
	}
}

// tail is the last lines of a step.
type tail struct {
	lines []string
	rest  []byte // after the last newline
}

// add adds output and returns the last line of it.
func (l *tail) add(data []byte) string {
	l.rest = append(l.rest, data...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	for line := range bytes.Lines(l.rest[:end]) {
		if len(l.lines) == tailLines {
			l.lines = l.lines[1:]
		}
		l.lines = append(l.lines, string(bytes.TrimRight(line, "\r\n")))
	}
	l.rest = append(l.rest[:0], l.rest[end:]...)
	if len(l.rest) > 0 {
		return string(l.rest[:min(len(l.rest), 500)])
	}
	return l.lines[len(l.lines)-1]
}

func (l *tail) all() []string {
	if len(l.rest) == 0 {
		return l.lines
	}
	return append(l.lines, string(l.rest))
}

// draw replaces the rows on the screen.
func (t *table) draw() {
	width, height, err := term.GetSize(t.fd)
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
			text += r.step + ": " + screen.Plain(r.line)
		case r.status == ci.Running:
			text += r.step
		default:
			text += string(r.status) + because(r.reason)
		}
		fmt.Fprintf(&b, "\r\x1b[K%s %s\n", screen.Mark(r.status, true), clip(text, width-3))
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
		if r.status.Bad() && len(r.last) > 0 {
			fmt.Fprintf(t.out, "\n%s, the last lines of %q:\n", r.name, r.failed)
			for _, line := range r.last {
				fmt.Fprintln(t.out, "  "+screen.Output(line))
			}
		}
	}
	s.print(t.out, true)
}

// clip cuts the text to a number of characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(n-1, 0)]) + "…"
}
