package door

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// maxReason is how long the reason of an outcome may be, in bytes.
const maxReason = 2000

// Finish ends the task with a final status. When it returns without error the
// outcome is durable. The agent has sent all output before: whoever sees the
// outcome can read the whole log.
//
// The order makes every crash harmless. Output that did not arrive is marked
// first; then the log is closed and, beside that, the outcome is written and
// the lease ends in one step of the scheduler. A call that was cut short is
// made again. One after the lease has ended closes the log once more and
// changes nothing else; the scheduler decides whether it is a repetition (no
// error) or stale.
func (d *Door) Finish(ctx context.Context, l ci.Lease, r ci.Report) error {
	switch r.Status {
	case ci.Success, ci.Failed, ci.Canceled, ci.TimedOut, ci.InfraFailed, ci.Unauthorized:
	default:
		return fmt.Errorf("finish task %s as %q: not an outcome: %w", l.Task, r.Status, ci.ErrInvalid)
	}
	// What the report is about is decided by the lease, not by the agent; and a
	// repeated call makes the same report.
	r.Workflow, r.Task, r.Epoch, r.Node = "", l.Task, l.Epoch, nameOf(l.Worker)
	r.Reason = cut(r.Reason, maxReason)
	holds := d.leases.Check(l)
	if holds != nil && !errors.Is(holds, ci.ErrConflict) {
		return fmt.Errorf("finish task %s: %w", l.Task, holds)
	}
	if holds == nil {
		if err := d.markGaps(ctx, l); err != nil {
			return fmt.Errorf("finish task %s: %w", l.Task, err)
		}
	}
	var ended error
	var beside sync.WaitGroup
	if holds == nil {
		beside.Go(func() { ended = d.logs.End(ctx, l.Task, l.Epoch) })
	}
	err := d.leases.Finish(ctx, l, r)
	beside.Wait()
	if holds != nil && err == nil { // a repetition: the first call may have been cut short in between
		ended = d.logs.End(ctx, l.Task, l.Epoch)
	}
	if err := errors.Join(err, ended); err != nil {
		return fmt.Errorf("finish task %s: %w", l.Task, err)
	}
	d.scopes.drop(l)
	d.release(ctx, l)
	return nil
}

// markGaps marks output that is missing.
func (d *Door) markGaps(ctx context.Context, l ci.Lease) error {
	steps, err := d.records.Steps(ctx, l.Task, l.Epoch)
	if err != nil {
		return fmt.Errorf("list steps: %w", err)
	}
	for _, s := range steps {
		if err := d.markGap(ctx, l, s); err != nil {
			return fmt.Errorf("step %d: %w", s.Index, err)
		}
	}
	return nil
}

// markGap says in the record and in the output itself that the end of a step's
// output is missing, if it is. The record comes first: it then tells how much
// is stored, and has no checksum, which is how a call that was cut short and
// made again knows that only the mark may be wanting.
func (d *Door) markGap(ctx context.Context, l ci.Lease, s ci.Step) error {
	if s.Bytes == 0 && s.Lost == 0 {
		return nil
	}
	key := ci.LogKey{Task: l.Task, Epoch: l.Epoch, Step: s.Index}
	size, err := d.logs.Size(ctx, key)
	if err != nil {
		return fmt.Errorf("size of output: %w", err)
	}
	switch {
	case s.SHA256 != "" && size < s.Bytes:
		d.log.Warn("output is missing", "task", l.Task, "step", s.Index, "bytes", s.Bytes-size)
		s.Lost, s.Bytes, s.SHA256 = s.Lost+s.Bytes-size, size, ""
		if err := d.records.PutStep(ctx, l, s); err != nil {
			return fmt.Errorf("record missing output: %w", err)
		}
	case s.SHA256 == "" && s.Lost > 0 && size == s.Bytes:
	default:
		return nil
	}
	_, err = d.logs.Append(ctx, key, size, fmt.Appendf(nil, "\n[%d bytes missing]\n", s.Lost))
	if err != nil && !errors.Is(err, ci.ErrConflict) { // a log that has ended keeps the record only
		return fmt.Errorf("mark missing output: %w", err)
	}
	return nil
}

// cut shortens s to at most n bytes, between runes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
