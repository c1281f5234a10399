package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Sink takes lines to somewhere else. Suite audittest says what it must do.
type Sink interface {
	// Send delivers the lines, which follow each other, and returns when the
	// other side has them. An error means that any of them may be there or
	// not: all are sent again, and the other side knows them by their id.
	Send(ctx context.Context, lines []Line) error
}

// The bounds of what a sink is sent at once, and its rests between tries.
const (
	sendLines = 200
	sendBytes = 1 << 20
	minRest   = time.Second
	maxRest   = time.Minute
)

// Stream sends all events of the book to a sink, from where it stopped when a
// stream of that name ran last, until ctx ends; then it returns nil. The book
// is its outbox: however long a sink is away, nothing is lost and no other
// sink waits. One Stream of a name at a time.
func (b *Book) Stream(ctx context.Context, name string, sink Sink) error {
	pause := minRest
	for ctx.Err() == nil {
		n, err := b.send(ctx, name, sink)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			b.log.Warn("audit log: send events, will try again", "sink", name, "wait", pause, "err", err)
			b.noteSink(name, func(s *ci.AuditSink) { s.Problem = err.Error() })
			rest(ctx, pause)
			pause = min(2*pause, maxRest)
		case n == 0:
			rest(ctx, pass)
		default:
			pause = minRest
		}
	}
	return nil
}

// send delivers the next lines and notes how far it got.
func (b *Book) send(ctx context.Context, name string, sink Sink) (int, error) {
	after, doc, err := b.cursor(ctx, "sink "+name)
	if err != nil {
		return 0, err
	}
	b.noteSink(name, func(s *ci.AuditSink) { s.Sent = after })
	var lines []Line
	size := 0
	for l, err := range b.Lines(ctx, after) {
		if err != nil {
			return 0, err
		}
		lines, size = append(lines, l), size+len(l.Text)
		if len(lines) >= sendLines || size >= sendBytes {
			break
		}
	}
	if len(lines) == 0 {
		return 0, nil
	}
	if err := sink.Send(ctx, lines); err != nil {
		return 0, err
	}
	last := lines[len(lines)-1].Seq
	if _, err := b.docs.WriteDocs(ctx, moved(doc, last)); err != nil {
		return 0, err
	}
	b.noteSink(name, func(s *ci.AuditSink) { s.Sent, s.Problem = last, "" })
	return len(lines), nil
}

// cursor reads how far a follower has read.
func (b *Book) cursor(ctx context.Context, name string) (uint64, ci.Doc, error) {
	fresh := ci.Doc{Kind: kindCursor, ID: name}
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindCursor, AllScopes: true}) {
		if err != nil {
			return 0, fresh, err
		}
		if d.ID == name {
			n, err := strconv.ParseUint(string(d.Body), 10, 64)
			if err != nil {
				return 0, d, fmt.Errorf("%s %s: %w", kindCursor, name, err)
			}
			return n, d, nil
		}
	}
	return 0, fresh, nil
}

// moved returns the write of a cursor.
func moved(d ci.Doc, to uint64) ci.DocChange {
	d.Body, d.Updated = strconv.AppendUint(nil, to, 10), time.Time{}
	return ci.DocChange{Doc: d}
}

// noteSink changes what the state says of a sink.
func (b *Book) noteSink(name string, change func(*ci.AuditSink)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sinks[name]
	s.Name = name
	change(&s)
	b.sinks[name] = s
}

func sortedSinks(sinks map[string]ci.AuditSink, newest uint64) []ci.AuditSink {
	out := slices.SortedFunc(maps.Values(sinks), func(a, b ci.AuditSink) int { return strings.Compare(a.Name, b.Name) })
	for i := range out {
		out[i].Lag = newest - min(out[i].Sent, newest)
	}
	return out
}
