package sqldb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// encode writes a value as JSON. What JSON cannot hold (a number that is none,
// a year of five digits) is [ci.ErrInvalid].
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ci.ErrInvalid, err)
	}
	return string(b), nil
}

// decode reads what encode wrote. A row that cannot be read was written by
// someone else.
func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read row: %w", err)
	}
	return nil
}

// valid returns the text as the body will hold it: a key in a column must equal
// the one in there.
func valid[S ~string](s S) string { return string(plain.Text(s)) }

// decodePipeline reads a pipeline. A parameter that is a number comes back as
// float64; an integer that float64 cannot hold exactly, as int64.
func decodePipeline(body []byte) (ci.Pipeline, error) {
	var p ci.Pipeline
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&p); err != nil {
		return ci.Pipeline{}, fmt.Errorf("read row: %w", err)
	}
	for k, v := range p.Trigger.Parameters {
		p.Trigger.Parameters[k] = plain.Number(v)
	}
	return p, nil
}

// utc returns the instant in UTC, as it will be read again.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }

// micros returns the instant as a column holds it.
func micros(t time.Time) int64 { return t.UnixMicro() }

// The functions below return a copy of a noun that is safe to change and has
// its times in UTC.

func cleanPipeline(p ci.Pipeline) ci.Pipeline {
	p.Created, p.Updated = utc(p.Created), utc(p.Updated)
	return p
}

func cleanWorkflow(w ci.Workflow) ci.Workflow {
	w.Created, w.Stopped = utc(w.Created), utc(w.Stopped)
	w.Jobs, w.Past = cleanJobs(w.Jobs), cleanJobs(w.Past)
	return w
}

func cleanJobs(jobs []ci.Job) []ci.Job {
	jobs = slices.Clone(jobs)
	for i := range jobs {
		j := &jobs[i]
		j.Queued, j.Started, j.Stopped = utc(j.Queued), utc(j.Started), utc(j.Stopped)
		j.Tasks = slices.Clone(j.Tasks)
		for n := range j.Tasks {
			t := &j.Tasks[n]
			t.Started, t.Stopped = utc(t.Started), utc(t.Stopped)
		}
	}
	return jobs
}

func cleanEvents(events []ci.Event) []ci.Event {
	events = slices.Clone(events)
	for i := range events {
		e := &events[i]
		e.Time = utc(e.Time)
		if e.Task != nil {
			t := *e.Task
			t.Queued = utc(t.Queued)
			e.Task = &t
		}
		if e.Step != nil {
			s := cleanStep(*e.Step)
			e.Step = &s
		}
	}
	return events
}

func cleanTicket(t ci.Ticket) ci.Ticket {
	t.Expires, t.Task.Queued = utc(t.Expires), utc(t.Task.Queued)
	return t
}

func cleanStep(s ci.Step) ci.Step {
	s.Started, s.Stopped = utc(s.Started), utc(s.Stopped)
	return s
}

// A packer writes large values small. The zero packer is ready; its tables
// are made when the first large value comes.
type packer struct {
	once sync.Once
	enc  *zstd.Encoder
	dec  *zstd.Decoder
	err  error
}

// Values of packLimit bytes and more are compressed.
const packLimit = 4 << 10

// frame is how a compressed value begins. JSON never does.
var frame = []byte{0x28, 0xb5, 0x2f, 0xfd}

func (p *packer) init() error {
	p.once.Do(func() {
		p.enc, p.err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
		if p.err == nil {
			p.dec, p.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxMemory(1<<30))
		}
	})
	return p.err
}

// pack writes the value as JSON, compressed if it is large.
func (p *packer) pack(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ci.ErrInvalid, err)
	}
	if len(b) < packLimit {
		return b, nil
	}
	if err := p.init(); err != nil {
		return nil, err
	}
	return p.enc.EncodeAll(b, nil), nil
}

// unpack reads what pack wrote.
func (p *packer) unpack(b []byte, v any) error {
	if bytes.HasPrefix(b, frame) {
		if err := p.init(); err != nil {
			return err
		}
		var err error
		if b, err = p.dec.DecodeAll(b, nil); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
	return decode(b, v)
}
