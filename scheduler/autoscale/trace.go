package autoscale

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// traceColumns are the columns of a trace, each with its name in the usage
// exports of Rondo and CircleCI.
var traceColumns = []struct{ name, exported string }{
	{"queued_at", "JOB_RUN_QUEUED_AT"},
	{"run_s", "JOB_RUN_SECONDS"},
	{"class", "RESOURCE_CLASS"},
	{"parallelism", "PARALLELISM"},
	{"project", "PROJECT_NAME"},
}

// exportedTimes are what the run of a job is reckoned from in an export that
// has no seconds.
var exportedTimes = [2]string{"JOB_RUN_STARTED_AT", "JOB_RUN_STOPPED_AT"}

// ReadTrace reads builds from CSV, plain or in gzip. The first line names the
// columns: queued_at (RFC 3339, or seconds since 1970) and run_s are needed;
// class, parallelism and project may be there. A usage export of Rondo or of
// CircleCI is a trace too: jobs in it that never started are left out.
//
// Errors wrap [ci.ErrInvalid] and name the line.
func ReadTrace(r io.Reader) ([]Job, error) {
	in := bufio.NewReader(r)
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%w: read trace: %w", ci.ErrInvalid, err)
		}
		in = bufio.NewReader(z)
	}
	if mark, _ := in.Peek(3); string(mark) == "\ufeff" {
		_, _ = in.Discard(3)
	}
	c := csv.NewReader(in)
	c.ReuseRecord = true
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: read trace: it is empty; the first line names the columns, as in queued_at,run_s,class,parallelism", ci.ErrInvalid)
	} else if err != nil {
		return nil, fmt.Errorf("%w: read trace: %w", ci.ErrInvalid, err)
	}
	t := traceLine{}
	if err := t.columns(head); err != nil {
		return nil, err
	}
	var out []Job
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return sorted(out), nil
		} else if err != nil {
			return nil, fmt.Errorf("%w: read trace: %w", ci.ErrInvalid, err)
		}
		j, ran, err := t.job(record)
		if err != nil {
			line, _ := c.FieldPos(0)
			return nil, fmt.Errorf("%w: read trace: line %d: %w", ci.ErrInvalid, line, err)
		}
		if ran {
			out = append(out, j)
		}
	}
}

// A traceLine knows where the columns are; -1 is nowhere.
type traceLine struct {
	at             [5]int
	began, stopped int
	exported       bool
}

func (t *traceLine) columns(head []string) error {
	where := map[string]int{}
	for i, name := range head {
		where[strings.ToLower(strings.TrimSpace(name))] = i
	}
	find := func(name string) int {
		if i, ok := where[strings.ToLower(name)]; ok {
			return i
		}
		return -1
	}
	for i, c := range traceColumns {
		if t.at[i] = find(c.name); t.at[i] < 0 {
			t.at[i] = find(c.exported)
			t.exported = t.exported || t.at[i] >= 0
		}
	}
	t.began, t.stopped = find(exportedTimes[0]), find(exportedTimes[1])
	if t.at[0] < 0 || t.at[1] < 0 && (t.began < 0 || t.stopped < 0) {
		return fmt.Errorf("%w: read trace: there must be the columns queued_at and run_s, or JOB_RUN_QUEUED_AT and JOB_RUN_SECONDS; there are %s",
			ci.ErrInvalid, strings.Join(head, ", "))
	}
	return nil
}

// job reads one line; false is a job that never ran.
func (t *traceLine) job(record []string) (Job, bool, error) {
	get := func(i int) string {
		if i < 0 || i >= len(record) {
			return ""
		}
		return strings.TrimSpace(record[i])
	}
	j := Job{Class: get(t.at[2]), Project: get(t.at[4])}
	var err error
	seconds := get(t.at[1])
	if seconds == "" && t.exported && (get(t.began) == "" || get(t.stopped) == "") || t.exported && get(t.at[0]) == "" {
		return j, false, nil
	}
	if j.Queued, err = instant(get(t.at[0])); err != nil {
		return j, false, fmt.Errorf("queued_at: %w", err)
	}
	if seconds == "" {
		began, err1 := instant(get(t.began))
		stopped, err2 := instant(get(t.stopped))
		if err := errors.Join(err1, err2); err != nil {
			return j, false, err
		}
		j.Run = stopped.Sub(began)
	} else if s, err := strconv.ParseFloat(seconds, 64); err != nil || !(s >= 0 && s <= 1e8) {
		return j, false, fmt.Errorf("run_s: %q is no number of seconds", seconds)
	} else {
		j.Run = time.Duration(s * float64(time.Second))
	}
	if j.Run < 0 {
		return j, false, fmt.Errorf("it stopped before it started")
	}
	if n := get(t.at[3]); n != "" {
		if j.Parallelism, err = strconv.Atoi(n); err != nil || j.Parallelism < 1 || j.Parallelism > 10_000 {
			return j, false, fmt.Errorf("parallelism: %q is none; it is from 1 to 10000", n)
		}
	}
	return j, true, nil
}

// instant reads a time.
func instant(text string) (time.Time, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 && s < 7e9 {
		return time.Unix(0, int64(s*1e9)).UTC(), nil
	}
	for _, form := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02 15:04:05.999999999Z07:00"} {
		if t, err := time.Parse(form, text); err == nil && t.Year() >= 1970 && t.Year() < 2200 {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write one as in 2026-11-25T10:00:00Z", text)
}
