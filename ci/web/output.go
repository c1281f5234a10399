package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"iter"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// How much output is shown.
const (
	excerptBytes = 200 << 10 // of one step, at a time
	pageBytes    = 800 << 10 // of all steps of a page together
	lookBack     = 64 << 10  // is read before an excerpt to know its colours
)

// An excerpt is a range of a step's output as HTML.
type excerpt struct {
	HTML template.HTML
	// Tail is what stands behind the last line that is whole; it is painted
	// again when more comes.
	Tail template.HTML
	// From is where the excerpt begins, Next where the tail does; Size is that
	// of the whole output.
	From, Next, Size int64
	Pen              pen // at Next
}

// excerpt reads the output before end, limit bytes at most; end < 0 is all
// there is. It begins with a line if one begins within it.
func (s *site) excerpt(ctx context.Context, key ci.LogKey, end, limit int64) (excerpt, error) {
	size, err := s.cfg.Logs.Size(ctx, key)
	if errors.Is(err, ci.ErrNotFound) {
		return excerpt{}, nil
	}
	if err != nil {
		return excerpt{}, err
	}
	if end < 0 || end > size {
		end = size
	}
	from := max(end-limit, 0)
	begin := max(from-lookBack, 0)
	b, err := s.readLog(ctx, key, begin, end)
	if err != nil {
		return excerpt{}, err
	}
	before, b := b[:min(from-begin, int64(len(b)))], b[min(from-begin, int64(len(b))):]
	x := excerpt{Size: size}
	if from > 0 {
		n := lineStart(b)
		x.Pen.mid = n == 0 || b[n-1] != '\n'
		x.Pen.skip(before)
		x.Pen.skip(b[:n])
		b, from = b[n:], from+int64(n)
	}
	var html, tail bytes.Buffer
	n := x.Pen.paint(&html, b)
	x.From, x.Next = from, from+int64(n)
	if end < size { // what follows is on the page already: no tail
		x.Pen.piece(&html, b[n:])
		x.Next = end
	} else {
		x.Pen.end(&tail, b[n:])
	}
	x.HTML, x.Tail = template.HTML(html.String()), template.HTML(tail.String())
	return x, nil
}

// lineStart returns where the first line begins that b holds from its
// beginning, if that is near; otherwise where its first rune begins.
func lineStart(b []byte) int {
	if i := bytes.IndexByte(b[:min(len(b), longestPiece)], '\n'); i >= 0 {
		return i + 1
	}
	n := 0
	for n < len(b) && n < utf8.UTFMax && !utf8.RuneStart(b[n]) {
		n++
	}
	return n
}

// readLog reads a range of output. Less than the range is no error.
func (s *site) readLog(ctx context.Context, key ci.LogKey, from, to int64) ([]byte, error) {
	if from >= to {
		return nil, nil
	}
	r, err := s.cfg.Logs.Read(ctx, key, from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, to-from)
	n, err := io.ReadFull(r, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("read output of task %s step %d: %w", key.Task, key.Step, err)
	}
	return b[:n], nil
}

// noLogs is the output of a server that keeps none.
type noLogs struct{}

func (noLogs) Size(context.Context, ci.LogKey) (int64, error) { return 0, ci.ErrNotFound }

func (noLogs) Read(context.Context, ci.LogKey, int64) (io.ReadCloser, error) {
	return nil, ci.ErrNotFound
}

func (noLogs) Follow(context.Context, ci.LogKey, int64) iter.Seq2[[]byte, error] {
	return func(func([]byte, error) bool) {}
}
