// Package auditsink shows how to send the audit log somewhere that Rondo has no
// sink for: its noun is [Alarms], a sink of one method that keeps what was
// refused. It never sees an event twice under two numbers, and an event may
// come again after a crash.
package auditsink

import (
	"context"
	"fmt"
	"io"

	"github.com/rondo-ci/rondo/audit"
)

// Alarms writes a sentence for each act that was refused. It is an audit.Sink.
type Alarms struct {
	// To is written to by one Send at a time.
	To   io.Writer
	last uint64
}

// Send implements audit.Sink. What it has seen before it leaves out.
func (a *Alarms) Send(_ context.Context, lines []audit.Line) error {
	for _, l := range lines {
		if l.Seq <= a.last {
			continue
		}
		e, err := l.Event()
		if err != nil {
			return err
		}
		if !e.Success {
			if _, err := fmt.Fprintf(a.To, "%s was refused %s on %s: %s\n", e.Actor.Name, e.Action, e.Target.Name, e.Metadata["reason"]); err != nil {
				return err
			}
		}
		a.last = l.Seq
	}
	return nil
}
