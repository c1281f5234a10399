package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/cmd/internal/screen"
	"golang.org/x/term"
)

// A view shows a run while it happens. Its methods may be called at once by
// several goroutines.
type view interface {
	// Event shows what happened to a job or workflow.
	Event(e ci.Event)
	// Output shows bytes that a step printed.
	Output(s source, data []byte)
	// StepDone says that the step prints no more, and whether it has failed.
	// Twice is allowed.
	StepDone(s source, failed bool)
	// Close shows how it all ended.
	Close(s summary)
}

// source says which step printed something.
type source struct {
	Task  ci.TaskID
	JobID ci.JobID
	Index int // of the step
	Job   string
	Node  int
	Nodes int
	Step  string
}

// stepKey tells steps apart.
type stepKey struct {
	task  ci.TaskID
	index int
}

// key is the step's, whose name may not be known from the beginning.
func (s source) key() stepKey { return stepKey{s.Task, s.Index} }

// label is the job's name, with the node where there are several.
func (s source) label() string {
	job := screen.Text(s.Job)
	if s.Nodes > 1 {
		return fmt.Sprintf("%s/%d", job, s.Node)
	}
	return job
}

// newView chooses the view: JSON lines when asked for, a live table on a
// terminal, plain lines elsewhere.
func newView(out *sink, asJSON, verbose bool) view {
	switch {
	case asJSON:
		return &jsonView{enc: json.NewEncoder(out), partial: map[stepKey][]byte{}}
	case !verbose && term.IsTerminal(int(out.out.Fd())) && os.Getenv("TERM") != "dumb":
		return newTable(out, int(out.out.Fd()))
	}
	return &plainView{out: out, terminal: term.IsTerminal(int(out.out.Fd())), partial: map[stepKey][]byte{}}
}

// plainView prints a line for each event and for each line of output. On a
// terminal output can colour itself and nothing else; elsewhere it is as it is.
type plainView struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	partial  map[stepKey][]byte // what came after the last newline
}

func (v *plainView) Event(e ci.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e.Name = screen.Text(e.Name)
	var text string
	switch e.Kind {
	case ci.WorkflowStarted:
		text = fmt.Sprintf("workflow %s", e.Name)
	case ci.JobStarted:
		text = fmt.Sprintf("job %s: started", e.Name)
	case ci.JobHeld:
		text = fmt.Sprintf("job %s: waits for approval", e.Name)
	case ci.JobApproved:
		text = fmt.Sprintf("job %s: approved by %s", e.Name, e.Actor)
	case ci.StepEnded:
		if e.Step.Status != ci.Success {
			text = fmt.Sprintf("job %s: step %q: %s%s", e.Name, e.Step.Name, e.Step.Status, because(e.Step.Reason))
		}
	case ci.JobEnded, ci.JobRequeued:
		text = fmt.Sprintf("job %s: %s%s", e.Name, e.Status, because(e.Reason))
	}
	if text != "" {
		fmt.Fprintln(v.out, text)
	}
}

// because is a reason behind a status, on the same line.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	lines := strings.FieldsFunc(reason, func(r rune) bool { return r == '\n' || r == '\r' })
	return " (" + screen.Text(strings.Join(lines, " ")) + ")"
}

func (v *plainView) Output(s source, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	end := bytes.LastIndexByte(data, '\n') + 1
	if end == 0 {
		v.partial[s.key()] = append(v.partial[s.key()], data...)
		return
	}
	label := s.label()
	var b bytes.Buffer
	for line := range bytes.Lines(data[:end]) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if rest := v.partial[s.key()]; len(rest) > 0 {
			line = append(rest, line...)
			delete(v.partial, s.key())
		}
		b.WriteString(label)
		b.WriteString(" | ")
		v.write(&b, line)
		b.WriteByte('\n')
	}
	_, _ = v.out.Write(b.Bytes())
	if end < len(data) {
		v.partial[s.key()] = bytes.Clone(data[end:])
	}
}

func (v *plainView) StepDone(s source, _ bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if text := v.partial[s.key()]; len(text) > 0 {
		var b bytes.Buffer
		v.write(&b, text)
		fmt.Fprintf(v.out, "%s | %s\n", s.label(), b.Bytes())
	}
	delete(v.partial, s.key())
}

// write adds a line of output.
func (v *plainView) write(b *bytes.Buffer, line []byte) {
	if v.terminal {
		b.WriteString(screen.Output(string(line)))
		return
	}
	b.Write(line)
}

func (v *plainView) Close(s summary) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.print(v.out, false)
}

// jsonView prints one JSON object a line: the events as they are, output as
// {"kind":"output",...} and at the end {"kind":"summary",...}. A character
// never ends in another object than the one it begins in; bytes that are no
// UTF-8 become U+FFFD.
type jsonView struct {
	mu      sync.Mutex
	enc     *json.Encoder
	partial map[stepKey][]byte // the beginning of a character
}

func (v *jsonView) Event(e ci.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.enc.Encode(e)
}

func (v *jsonView) Output(s source, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if rest := v.partial[s.key()]; len(rest) > 0 {
		data = append(rest, data...)
		delete(v.partial, s.key())
	}
	whole := len(data) - unfinished(data)
	if whole < len(data) {
		v.partial[s.key()] = bytes.Clone(data[whole:])
	}
	if whole > 0 {
		v.print(s, data[:whole])
	}
}

func (v *jsonView) StepDone(s source, _ bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if rest := v.partial[s.key()]; len(rest) > 0 {
		v.print(s, rest)
	}
	delete(v.partial, s.key())
}

func (v *jsonView) print(s source, data []byte) {
	_ = v.enc.Encode(struct {
		Kind  string `json:"kind"`
		Job   string `json:"job"`
		Node  int    `json:"node"`
		Step  string `json:"step"`
		Index int    `json:"index"` // of the step
		Text  string `json:"text"`
	}{"output", s.Job, s.Node, s.Step, s.Index, string(data)})
}

// unfinished returns how many bytes at the end are the beginning of a character.
func unfinished(data []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(data); n++ {
		if tail := data[len(data)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return n
			}
			return 0
		}
	}
	return 0
}

func (v *jsonView) Close(s summary) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.enc.Encode(struct {
		Kind string `json:"kind"`
		summary
	}{"summary", s})
}

// summary is how a run ended.
type summary struct {
	Status    ci.Status      `json:"status"`
	Seconds   float64        `json:"seconds"`
	Jobs      []jobSummary   `json:"jobs"`
	Artifacts string         `json:"artifacts,omitempty"` // folder
	Holding   []string       `json:"holding,omitempty"`   // approval jobs that wait
	Tests     map[string]int `json:"tests,omitempty"`     // results and their number
}

// jobSummary is how a job of the run ended.
type jobSummary struct {
	Workflow  string    `json:"workflow"`
	Name      string    `json:"name"`
	Status    ci.Status `json:"status"`
	Reason    string    `json:"reason,omitempty"`
	Seconds   float64   `json:"seconds"`
	Artifacts []string  `json:"artifacts,omitempty"`
	Failed    []string  `json:"failed_tests,omitempty"`
}

// print writes the summary for people.
func (s summary) print(w io.Writer, colour bool) {
	fmt.Fprintln(w)
	for _, j := range s.Jobs {
		fmt.Fprintf(w, "  %s %-28s %s%s\n", screen.Mark(j.Status, colour), screen.Text(j.Name), took(j.Seconds), because(j.Reason))
		for _, name := range j.Failed {
			fmt.Fprintf(w, "      failed test: %s\n", screen.Text(name))
		}
	}
	if n := s.Tests["success"] + s.Tests["failure"] + s.Tests["skipped"] + s.Tests["error"]; n > 0 {
		fmt.Fprintf(w, "  tests: %d passed, %d failed, %d skipped\n", s.Tests["success"], s.Tests["failure"]+s.Tests["error"], s.Tests["skipped"])
	}
	if s.Artifacts != "" {
		fmt.Fprintf(w, "  artifacts: %s\n", s.Artifacts)
	}
	for _, name := range s.Holding {
		fmt.Fprintf(w, "  %s waits for approval: run again with --approve %s\n", screen.Text(name), screen.Text(name))
	}
	fmt.Fprintf(w, "\n%s in %s\n", s.Status, took(s.Seconds))
}

// took renders a duration in seconds.
func took(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d <= 0:
		return "-"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
