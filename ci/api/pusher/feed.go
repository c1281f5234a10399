package pusher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A spot is one step of one hand-out of a job's task.
type spot struct {
	node  int
	epoch int64
	step  int
}

func (p spot) String() string { return fmt.Sprintf("%d.%d.%d", p.node, p.epoch, p.step) }

// An output is the data of a message with lines of a step. From and To are its
// place in the output, in bytes.
type output struct {
	Node  int    `json:"node"`
	Epoch int64  `json:"epoch"`
	Step  int    `json:"step"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Text  string `json:"text"`
}

// errGone says that the client has gone.
var errGone = errors.New("the client has gone")

// maxText is the most text of one message, in bytes.
const maxText = 16 << 10

// A feed reads the output of a job for all that are subscribed to it.
type feed struct {
	s     *Server
	job   ci.JobID
	users int
	ready chan struct{} // closed when wrote has all steps so far, or err says why not
	err   error
	stop  context.CancelFunc
	wrote map[spot]int64 // the end of what was sent; guarded by the server's mu
}

// jobOf returns the job of a channel, "" if it is not about one.
func jobOf(channel string) ci.JobID {
	id, ok := strings.CutPrefix(strings.TrimPrefix(channel, private), "job-")
	if !ok {
		return ""
	}
	return ci.JobID(id)
}

// feed sees to it that the output of the subscription's job is read. The
// caller holds the lock.
func (s *Server) feed(of *sub) {
	job := jobOf(of.channel)
	if job == "" || s.logs == nil {
		return
	}
	f := s.feeds[job]
	if f == nil {
		ctx, stop := context.WithCancel(context.Background()) // it lives as long as somebody is subscribed
		f = &feed{s: s, job: job, ready: make(chan struct{}), stop: stop, wrote: map[spot]int64{}}
		s.feeds[job] = f
		go f.start(ctx)
	}
	f.users++
}

// unfeed ends the reading when nobody is left. The caller holds the lock.
func (s *Server) unfeed(of *sub) {
	f := s.feeds[jobOf(of.channel)]
	if f == nil {
		return
	}
	if f.users--; f.users == 0 {
		f.stop()
		delete(s.feeds, f.job)
	}
}

// start finds the steps of the job and begins to read those that run.
func (f *feed) start(ctx context.Context) {
	defer close(f.ready)
	j, err := f.attempt(ctx)
	if err != nil {
		f.err = err
		return
	}
	for node, task := range j.Tasks {
		steps, err := f.s.read.Steps(ctx, f.job.Task(node), task.Epoch)
		if err != nil {
			f.err = err
			return
		}
		for _, step := range steps {
			at := spot{node, task.Epoch, step.Index}
			size, err := f.s.logs.Size(ctx, f.key(at))
			if err != nil {
				f.err = err
				return
			}
			if f.takes(at, size) && step.Status == ci.Running {
				go f.follow(ctx, at)
			}
		}
	}
}

// attempt reads the job.
func (f *feed) attempt(ctx context.Context) (ci.Job, error) {
	id, err := f.s.read.JobWorkflow(ctx, f.job)
	if err != nil {
		return ci.Job{}, err
	}
	w, err := f.s.read.Workflow(ctx, id)
	if err != nil {
		return ci.Job{}, err
	}
	if j := w.Attempt(f.job); j != nil {
		return *j, nil
	}
	return ci.Job{}, ci.ErrNotFound
}

func (f *feed) key(at spot) ci.LogKey {
	return ci.LogKey{Task: f.job.Task(at.node), Epoch: at.epoch, Step: at.step}
}

// takes notes a step from an offset on. false says that it is known.
func (f *feed) takes(at spot, offset int64) bool {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if _, known := f.wrote[at]; known {
		return false
	}
	f.wrote[at] = offset
	return true
}

// begin reads a step that has just started. The caller holds the lock.
func (f *feed) begin(ctx context.Context, node, step int) {
	ctx, stop := context.WithCancel(ctx)
	end := f.stop
	f.stop = func() { stop(); end() }
	go func() {
		j, err := f.attempt(ctx)
		if err != nil || node >= len(j.Tasks) {
			return
		}
		at := spot{node, j.Tasks[node].Epoch, step}
		if f.takes(at, 0) {
			f.follow(ctx, at)
		}
	}()
}

// follow sends the output of a step until it is complete. When it cannot be
// read for a while it goes on where it was.
func (f *feed) follow(ctx context.Context, at spot) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := f.followOnce(ctx, at)
		if err == nil || ctx.Err() != nil {
			return
		}
		f.s.log.Warn("follow output of job, will try again", "job", f.job, "wait", wait, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// followOnce sends what follows what was sent, in whole lines as far as they
// fit a message.
func (f *feed) followOnce(ctx context.Context, at spot) error {
	f.s.mu.Lock()
	offset := f.wrote[at]
	f.s.mu.Unlock()
	var rest []byte
	for chunk, err := range f.s.logs.Follow(ctx, f.key(at), offset) {
		if err != nil {
			return err
		}
		rest = append(rest, chunk...)
		for n := lines(rest); n > 0; n = lines(rest) {
			f.send(at, rest[:n])
			rest = rest[n:]
		}
		rest = bytes.Clone(rest)
	}
	if ctx.Err() == nil && len(rest) > 0 {
		f.send(at, rest)
	}
	return nil
}

// lines returns how much of a text is whole lines and fits a message, or all
// that fits of a line that is longer.
func lines(text []byte) int {
	head := text[:min(len(text), maxText)]
	if n := bytes.LastIndexByte(head, '\n') + 1; n > 0 || len(text) < maxText {
		return n
	}
	return len(head)
}

// send sends text to all that are subscribed.
func (f *feed) send(at spot, text []byte) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	from := f.wrote[at]
	f.wrote[at] += int64(len(text))
	data := encode(output{at.node, at.epoch, at.step, from, f.wrote[at], string(text)})
	for _, channel := range []string{"job-" + string(f.job), private + "job-" + string(f.job)} {
		topic := f.s.topics[channel]
		if len(topic) == 0 {
			continue
		}
		m := message("output", channel, data)
		for of := range topic {
			of.conn.offer(m)
		}
	}
}

// positions returns what a client has of the output; it has all of it until now
// if it does not say. nil is a channel without output.
func (s *Server) positions(ctx context.Context, of *sub, output map[string]int64) (map[spot]int64, error) {
	s.mu.Lock()
	f := s.feeds[jobOf(of.channel)]
	s.mu.Unlock()
	if f == nil {
		return nil, nil
	}
	select {
	case <-f.ready:
		if f.err != nil {
			return nil, f.err
		}
	case <-ctx.Done():
		return nil, errGone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	wrote := map[spot]int64{}
	for at, end := range f.wrote {
		wrote[at] = end
		if output != nil {
			wrote[at] = min(max(output[at.String()], 0), end)
		}
	}
	return wrote, nil
}

// missedOutput sends a client the output that others have, from where it
// wrote.
func (s *Server) missedOutput(ctx context.Context, of *sub, wrote map[spot]int64) error {
	if wrote == nil {
		return nil
	}
	s.mu.Lock()
	f := s.feeds[jobOf(of.channel)]
	ends := map[spot]int64{}
	if f != nil {
		for at, end := range f.wrote {
			ends[at] = end
		}
	}
	s.mu.Unlock()
	for at, end := range ends {
		if wrote[at] >= end {
			continue
		}
		if err := f.replay(ctx, of, at, wrote, end); err != nil {
			return err
		}
	}
	return nil
}

// replay sends one step's output up to the end.
func (f *feed) replay(ctx context.Context, of *sub, at spot, wrote map[spot]int64, end int64) error {
	r, err := f.s.logs.Read(ctx, f.key(at), wrote[at])
	if err != nil {
		return err
	}
	defer r.Close()
	text := make([]byte, maxText)
	for have := 0; wrote[at] < end; {
		want := int(min(int64(len(text)), end-wrote[at]))
		n, err := io.ReadFull(r, text[have:want])
		if have += n; have < want {
			return fmt.Errorf("output of job %s, step %s: %w", f.job, at, err)
		}
		size := have
		if wrote[at]+int64(have) < end {
			size = lines(text[:have])
		}
		m := output{at.node, at.epoch, at.step, wrote[at], wrote[at] + int64(size), string(text[:size])}
		if !of.conn.answer(message("output", of.channel, encode(m))) {
			return errGone
		}
		wrote[at] += int64(size)
		have = copy(text, text[size:have])
	}
	return nil
}

// wroteAll reports whether a client has all the output that others have. The
// caller holds the lock.
func (s *Server) wroteAll(of *sub, wrote map[spot]int64) bool {
	f := s.feeds[jobOf(of.channel)]
	if wrote == nil || f == nil {
		return true
	}
	for at, end := range f.wrote {
		if wrote[at] < end {
			return false
		}
	}
	return true
}
