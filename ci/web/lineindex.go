package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// How the places of lines are kept in memory: of each markEvery-th line, for
// the indexed outputs that were asked for last.
const (
	markEvery  = 1000
	maxIndexed = 64
	scanBytes  = 256 << 10 // are read at a time
)

// maxLookers is how many outputs are looked through at the same time: large
// ones cost a processor for a while, and pages should not wait for all of them.
const maxLookers = 4

// look waits for its turn to look through outputs; the caller must give it
// back by calling leave.
func (s *site) look(ctx context.Context) (leave func(), err error) {
	select {
	case s.lookers <- struct{}{}:
		return func() { <-s.lookers }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lineCount returns how many lines an output has, and knows their places
// thereafter.
func (s *site) lineCount(ctx context.Context, key ci.LogKey) (int64, error) {
	leave, err := s.look(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	return s.lines.of(key).upTo(ctx, s.cfg.Logs, key)
}

// A lineIndex knows where the lines of outputs begin. An output is looked
// through once, when somebody asks for a line of it by number; what is printed
// later is looked through when it is asked for.
type lineIndex struct {
	mu    sync.Mutex
	known map[ci.LogKey]*lineMarks
	order []ci.LogKey // the one asked for last is at the end
}

// lineMarks are the places of the lines of one output.
type lineMarks struct {
	mu      sync.Mutex
	scanned int64
	ends    int64   // line feeds among what was scanned
	marks   []int64 // where line k*markEvery begins, counted from 0
	open    bool    // what was scanned does not end with a line feed
}

func newLineIndex() *lineIndex { return &lineIndex{known: make(map[ci.LogKey]*lineMarks)} }

// of returns the marks of an output, and forgets those of another if there are
// too many.
func (x *lineIndex) of(key ci.LogKey) *lineMarks {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, k := range x.order {
		if k == key {
			x.order = append(append(x.order[:i:i], x.order[i+1:]...), key)
			return x.known[key]
		}
	}
	if len(x.order) == maxIndexed {
		delete(x.known, x.order[0])
		x.order = x.order[1:]
	}
	m := &lineMarks{marks: []int64{0}}
	x.known[key], x.order = m, append(x.order[:len(x.order):len(x.order)], key)
	return m
}

// upTo looks through the output to its present end and returns how many lines
// it has.
func (m *lineMarks) upTo(ctx context.Context, logs ci.LogReader, key ci.LogKey) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	size, err := logs.Size(ctx, key)
	if errors.Is(err, ci.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if size > m.scanned {
		if err := m.scan(ctx, logs, key, size); err != nil {
			return 0, err
		}
	}
	if m.open {
		return m.ends + 1, nil
	}
	return m.ends, nil
}

func (m *lineMarks) scan(ctx context.Context, logs ci.LogReader, key ci.LogKey, size int64) error {
	r, err := logs.Read(ctx, key, m.scanned)
	if err != nil {
		return err
	}
	defer r.Close()
	from := io.LimitReader(r, size-m.scanned)
	b := make([]byte, scanBytes)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := from.Read(b)
		if n > 0 {
			m.count(b[:n])
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// count takes in the next bytes.
func (m *lineMarks) count(b []byte) {
	m.open = b[len(b)-1] != '\n'
	rest, at := b, m.scanned
	m.scanned += int64(len(b))
	for {
		// Most blocks hold no mark: counting is faster than looking for each.
		n := int64(bytes.Count(rest, []byte{'\n'}))
		next := int64(len(m.marks)) * markEvery
		if m.ends+n < next {
			m.ends += n
			return
		}
		for m.ends < next {
			i := bytes.IndexByte(rest, '\n')
			rest, at = rest[i+1:], at+int64(i)+1
			m.ends++
		}
		m.marks = append(m.marks, at)
	}
}

// before returns the mark at or before a line, counted from 0: the line and
// where it begins.
func (m *lineMarks) before(line int64) (marked, offset int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := min(line/markEvery, int64(len(m.marks)-1))
	return i * markEvery, m.marks[i]
}
