package web

import (
	"html/template"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A look is how a status is shown: by a word, an icon and a colour class, so
// that it never hangs on the colour.
type look struct {
	Word   string
	Class  string // ok, bad, run, hold, wait, off
	Symbol string // for the page's title
	icon   string // SVG shapes in a box of 16
}

const ring = `<circle cx="8" cy="8" r="6.25"/>`

// lookOf returns the look of a status.
func lookOf(s ci.Status) look {
	switch s {
	case ci.Success:
		return look{"success", "ok", "✓", ring + `<path d="M5 8.3l2.1 2.1L11 6"/>`}
	case ci.Failed:
		return look{"failed", "bad", "✗", ring + `<path d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"/>`}
	case ci.TimedOut:
		return look{"timed out", "bad", "✗", ring + `<path d="M8 4.5V8l2.4 1.6"/>`}
	case ci.InfraFailed:
		return look{"infrastructure failed", "bad", "⚠", `<path d="M8 2L14.3 13.5H1.7zM8 6.3v3.4M8 11.6v.3"/>`}
	case ci.Unauthorized:
		return look{"unauthorized", "bad", "✗", `<path d="M3.5 7.5h9v6h-9zM5.5 7.5V5a2.5 2.5 0 015 0v2.5"/>`}
	case ci.Canceled:
		return look{"canceled", "off", "⊘", ring + `<path d="M3.7 12.3l8.6-8.6"/>`}
	case ci.NotRun:
		return look{"not run", "off", "–", ring + `<path d="M5 8h6"/>`}
	case ci.Running:
		return look{"running", "run", "●", `<circle class="track" cx="8" cy="8" r="6.25"/><path class="spin" d="M8 1.75A6.25 6.25 0 0114.25 8"/>`}
	case ci.Failing:
		return look{"failing", "bad", "●", `<circle class="track" cx="8" cy="8" r="6.25"/><path class="spin" d="M8 1.75A6.25 6.25 0 0114.25 8"/><path d="M6 6l4 4M10 6l-4 4"/>`}
	case ci.OnHold:
		return look{"needs approval", "hold", "‖", ring + `<path d="M6.3 5.5v5M9.7 5.5v5"/>`}
	case ci.Queued:
		return look{"queued", "wait", "…", ring + `<path d="M4.9 8h.2M7.9 8h.2M10.9 8h.2"/>`}
	case ci.Blocked:
		return look{"waiting", "wait", "○", `<circle cx="8" cy="8" r="6.25" stroke-dasharray="2.2 2.2"/>`}
	}
	return look{clean(string(s), 40, false), "wait", "○", ring}
}

// Icon returns the icon as SVG. It is for the eye only: the word stands beside
// it.
func (l look) Icon() template.HTML {
	return template.HTML(`<svg class="icon ` + l.Class + `" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">` + l.icon + `</svg>`)
}

// Shapes returns what is inside the icon, for a drawing that places it itself.
func (l look) Shapes() template.HTML { return template.HTML(l.icon) }

// pipelineStatus sums a pipeline up in one status, from its state and its
// workflows; of a workflow and its reruns the newest counts.
func pipelineStatus(p ci.Pipeline, workflows []ci.Workflow) ci.Status {
	switch p.State {
	case ci.PipelineError:
		return ci.Failed
	case ci.PipelinePending:
		return ci.Queued
	}
	newest := map[string]ci.Status{}
	for _, w := range workflows {
		newest[w.Name] = w.Status
	}
	worst := ci.Success
	if len(newest) == 0 {
		worst = ci.NotRun
	}
	weight := map[ci.Status]int{
		ci.NotRun: 1, ci.Canceled: 2, ci.Unauthorized: 3, ci.Failed: 4, ci.OnHold: 5, ci.Running: 6, ci.Failing: 7,
	}
	for _, s := range newest {
		if weight[s] > weight[worst] {
			worst = s
		}
	}
	return worst
}

// span returns how long something took or has taken so far; 0 before it began.
func span(from, to time.Time) time.Duration {
	switch {
	case from.IsZero():
		return 0
	case to.IsZero():
		return time.Since(from)
	}
	return to.Sub(from)
}

// A clock is a length of time on a page: one that still grows names its
// beginning, for the script to count on.
type clock struct {
	Text  string
	Since string // RFC 3339; "" when it has ended
}

func clockOf(from, to time.Time) clock {
	c := clock{}
	if !from.IsZero() {
		c.Text = duration(span(from, to))
		if to.IsZero() {
			c.Since = from.UTC().Format(time.RFC3339Nano)
		}
	}
	return c
}
