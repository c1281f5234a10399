package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A jobStream tells one watcher what happens to one task of a job: "step" when
// a step begins or ends, "log" for output, "change" when the rest of the page
// has changed, "reload" when the task was handed out anew, and "end" when the
// job has ended and nothing more will come. It is one goroutine, and one more
// for each step that runs.
type jobStream struct {
	site    *site
	job     ci.JobID
	out     *stream
	at      jobPlace
	cursor  cursor
	pipes   map[int]*pipe     // those that may still bring something
	known   map[int]ci.Status // of the steps as the watcher knows them
	printed chan struct{}     // has one element while a pipe may hold something
	changed atomic.Bool       // more than the steps
}

// A stepMessage is a step that began or ended.
type stepMessage struct {
	Step  int    `json:"step"`
	Ended bool   `json:"ended"`
	Bad   bool   `json:"bad"`
	Head  string `json:"head"` // the inside of its head
	HTML  string `json:"html"` // the whole step, without output
}

// A logMessage is output of a step: From to Next as whole lines, and Tail, the
// begin of a line that takes the place of the tail before.
type logMessage struct {
	Step int    `json:"step"`
	From int64  `json:"from"`
	Next int64  `json:"next"`
	HTML string `json:"html"`
	Tail string `json:"tail"`
}

// jobEvents serves the events of a job's page.
func (s *site) jobEvents(w http.ResponseWriter, r *http.Request, at jobPlace) error {
	if r.Method == http.MethodHead {
		return errMethod
	}
	c, err := parseCursor(after(r))
	if err != nil {
		return fmt.Errorf("events: %w: %w", err, ci.ErrInvalid)
	}
	leave, err := s.admit()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), lifetime)
	defer cancel()
	js := &jobStream{
		site: s, job: at.job.ID, at: at, cursor: c, pipes: make(map[int]*pipe),
		known: make(map[int]ci.Status), printed: make(chan struct{}, 1),
	}
	watcher, err := s.hub.watch(ctx, c.seq, js.match)
	if err != nil {
		return err
	}
	defer s.hub.leave(watcher)
	if js.out, err = startStream(w); err != nil {
		return nil // the reader is gone
	}
	defer js.close()
	err = js.run(ctx, watcher, func() error { return s.still(r) })
	if err != nil && ctx.Err() == nil {
		s.log.Debug("job events ended", "job", at.job.ID, "err", err)
	}
	return nil // whatever it was, the watcher comes again and goes on
}

// match reports whether an event is about the job, and notes whether it is
// about more than its steps.
func (js *jobStream) match(e ci.Event) bool {
	if e.Job != js.job {
		return false
	}
	if e.Kind != ci.StepStarted && e.Kind != ci.StepEnded {
		js.changed.Store(true)
	}
	return true
}

// pause is the least time between two messages with output, so that many small
// writes become few messages.
const pause = 20 * time.Millisecond

func (js *jobStream) run(ctx context.Context, watcher *watcher, still func() error) error {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	if err := js.refresh(ctx); err != nil {
		return err
	}
	printed := js.printed
	var resume <-chan time.Time
	for {
		if js.over() {
			return js.out.send("end", js.cursor.String(), struct{}{})
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-watcher.wake:
			js.cursor.seq = watcher.last()
			if err = js.refresh(ctx); err == nil && js.changed.Swap(false) {
				err = js.out.send("change", js.cursor.String(), struct{}{})
			}
		case <-printed:
			err = js.drain()
			printed, resume = nil, time.After(pause)
		case <-resume:
			printed, resume = js.printed, nil
		case <-ticker.C:
			if err = still(); err == nil {
				err = js.out.write(":\n\n")
			}
		}
		if err != nil {
			return err
		}
	}
}

// over reports whether nothing more will come.
func (js *jobStream) over() bool { return js.at.job.Status.Ended() && len(js.pipes) == 0 }

// refresh reads the steps, tells of those that are new to the watcher, and
// follows the output of those that run.
func (js *jobStream) refresh(ctx context.Context) error {
	wf, err := js.site.read.Workflow(ctx, js.at.workflow.ID)
	if err != nil {
		return err
	}
	if j := wf.Attempt(js.at.job.ID); j != nil {
		js.at.job = *j
	}
	js.at.epoch = js.at.state().Epoch
	if js.at.epoch == 0 {
		return nil
	}
	if js.cursor.epoch == 0 {
		js.cursor.epoch = js.at.epoch
	}
	if js.cursor.epoch != js.at.epoch {
		return js.out.send("reload", cursor{seq: js.cursor.seq, epoch: js.at.epoch}.String(), struct{}{})
	}
	steps, err := js.site.read.Steps(ctx, js.at.task(), js.at.epoch)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := js.step(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// step tells of a step if the watcher does not know how it stands, and follows
// its output.
func (js *jobStream) step(ctx context.Context, step ci.Step) error {
	status, told := js.known[step.Index]
	isNew := step.Index >= js.cursor.steps
	followed := js.cursor.mark(step.Index) != nil
	if !isNew && !followed && !told && step.Status.Ended() {
		return nil // the page has it to the end
	}
	if isNew {
		js.cursor.steps = step.Index + 1
		if followed = len(js.cursor.live) < maxLive; followed {
			js.cursor.live = append(js.cursor.live, mark{step: step.Index})
		}
	}
	if !told || status != step.Status {
		js.known[step.Index] = step.Status
		if err := js.tell(step); err != nil {
			return err
		}
	}
	p := js.pipes[step.Index]
	if p == nil && followed {
		p = js.follow(ctx, step.Index)
	}
	if p != nil && step.Status.Ended() && step.Lost == 0 { // where lost output ends only the store knows
		size, err := js.site.cfg.Logs.Size(ctx, js.at.logKey(step.Index))
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return err
		}
		p.expect(max(step.Bytes, size))
	}
	return nil
}

func (js *jobStream) tell(step ci.Step) error {
	v := js.at.stepView(step)
	head, err := js.site.fragment("job", "stephead", v)
	if err != nil {
		return err
	}
	html, err := js.site.fragment("job", "step", v)
	if err != nil {
		return err
	}
	return js.out.send("step", js.cursor.String(), stepMessage{
		Step: step.Index, Ended: step.Status.Ended(), Bad: step.Status.Bad(), Head: head, HTML: html,
	})
}

// follow opens the pipe that brings a step's output.
func (js *jobStream) follow(ctx context.Context, step int) *pipe {
	p := newPipe(js.printed)
	js.pipes[step] = p
	go p.fill(ctx, js.site.cfg.Logs, js.at.logKey(step), js.cursor.mark(step).offset)
	return p
}

// drain sends what the pipes hold.
func (js *jobStream) drain() error {
	for step, p := range js.pipes {
		b, err := p.take()
		if len(b) > 0 {
			if err := js.log(step, p, b); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, errDrained):
			if err := js.finish(step, p); err != nil {
				return err
			}
		case errors.Is(err, ci.ErrInvalid): // there is less than the watcher has seen
			return errors.Join(err, js.out.send("reload", js.cursor.String(), struct{}{}))
		case err != nil:
			return err
		}
	}
	return nil
}

// log sends output: rest is what the pipe kept of the line before, and b what
// is new.
func (js *jobStream) log(step int, p *pipe, b []byte) error {
	m := js.cursor.mark(step)
	p.rest = append(p.rest, b...)
	var html, tail bytes.Buffer
	from := m.offset
	n := m.pen.paint(&html, p.rest)
	p.rest = p.rest[:copy(p.rest, p.rest[n:])]
	m.offset += int64(n)
	m.pen.end(&tail, p.rest)
	return js.out.send("log", js.cursor.String(), logMessage{
		Step: step, From: from, Next: m.offset, HTML: html.String(), Tail: tail.String(),
	})
}

// finish forgets a step whose output has come to its end. What remains is a
// line without an end; it is whole now.
func (js *jobStream) finish(step int, p *pipe) error {
	p.close()
	delete(js.pipes, step)
	i := slices.IndexFunc(js.cursor.live, func(m mark) bool { return m.step == step })
	m := js.cursor.live[i]
	js.cursor.live = slices.Delete(js.cursor.live, i, i+1)
	if len(p.rest) == 0 {
		return nil
	}
	var html bytes.Buffer
	m.pen.end(&html, p.rest)
	return js.out.send("log", js.cursor.String(), logMessage{
		Step: step, From: m.offset, Next: m.offset + int64(len(p.rest)), HTML: html.String(),
	})
}

func (js *jobStream) close() {
	for _, p := range js.pipes {
		p.close()
	}
}
