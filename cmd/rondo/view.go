package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"golang.org/x/term"
)

// A view shows a run while it happens. Its methods may be called at once by
// several goroutines.
type view interface {
	// Event shows what happened to a job or workflow.
	Event(e ci.Event)
	// Output shows bytes that a step printed.
	Output(s source, data []byte)
	// Close shows how it all ended.
	Close(s summary)
}

// source says which step printed something.
type source struct {
	Job   string
	Node  int
	Nodes int
	Step  string
}

// label is the job's name, with the node where there are several.
func (s source) label() string {
	if s.Nodes > 1 {
		return fmt.Sprintf("%s/%d", s.Job, s.Node)
	}
	return s.Job
}

// newView chooses the view: JSON lines when asked for, a live table on a
// terminal, plain lines elsewhere.
func newView(out *os.File, asJSON, verbose bool) view {
	switch {
	case asJSON:
		return &jsonView{enc: json.NewEncoder(out)}
	case !verbose && term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb":
		return newTable(out)
	}
	return &plainView{out: out, partial: map[source][]byte{}}
}

// plainView prints a line for each event and for each line of output.
type plainView struct {
	mu      sync.Mutex
	out     io.Writer
	partial map[source][]byte // what came after the last newline
}

func (v *plainView) Event(e ci.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
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

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func (v *plainView) Output(s source, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	text := append(v.partial[s], data...)
	for {
		line, rest, found := strings.Cut(string(text), "\n")
		if !found {
			break
		}
		fmt.Fprintf(v.out, "%s | %s\n", s.label(), strings.TrimSuffix(line, "\r"))
		text = []byte(rest)
	}
	v.partial[s] = text
}

func (v *plainView) Close(s summary) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for from, text := range v.partial {
		if len(text) > 0 {
			fmt.Fprintf(v.out, "%s | %s\n", from.label(), text)
		}
	}
	s.print(v.out, false)
}

// jsonView prints one JSON object a line: the events as they are, output as
// {"kind":"output",...} and at the end {"kind":"summary",...}.
type jsonView struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (v *jsonView) Event(e ci.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.enc.Encode(e)
}

func (v *jsonView) Output(s source, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.enc.Encode(struct {
		Kind string `json:"kind"`
		Job  string `json:"job"`
		Node int    `json:"node"`
		Step string `json:"step"`
		Text string `json:"text"`
	}{"output", s.Job, s.Node, s.Step, string(data)})
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
		fmt.Fprintf(w, "  %s %-28s %s%s\n", mark(j.Status, colour), j.Name, took(j.Seconds), because(j.Reason))
		for _, name := range j.Failed {
			fmt.Fprintf(w, "      failed test: %s\n", name)
		}
	}
	if n := s.Tests["success"] + s.Tests["failure"] + s.Tests["skipped"] + s.Tests["error"]; n > 0 {
		fmt.Fprintf(w, "  tests: %d passed, %d failed, %d skipped\n", s.Tests["success"], s.Tests["failure"]+s.Tests["error"], s.Tests["skipped"])
	}
	if s.Artifacts != "" {
		fmt.Fprintf(w, "  artifacts: %s\n", s.Artifacts)
	}
	for _, name := range s.Holding {
		fmt.Fprintf(w, "  %s waits for approval: run again with --approve %s\n", name, name)
	}
	fmt.Fprintf(w, "\n%s in %s\n", s.Status, took(s.Seconds))
}

// took renders a duration in seconds.
func took(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d == 0:
		return "-"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// mark is a sign for a status: never colour alone.
func mark(s ci.Status, colour bool) string {
	sign, code := "·", "2"
	switch {
	case s == ci.Success:
		sign, code = "✓", "32"
	case s.Bad():
		sign, code = "✗", "31"
	case s == ci.Canceled:
		sign, code = "⊘", "33"
	case s == ci.Running:
		sign, code = "▸", "36"
	case s == ci.OnHold:
		sign, code = "‖", "35"
	}
	if !colour {
		return sign
	}
	return "\x1b[" + code + "m" + sign + "\x1b[0m"
}
