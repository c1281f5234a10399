package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Append stores data at the offset of the stream and returns how much of the
// stream is stored now. An offset below that is no error: what is stored
// already is skipped. An offset above it is [ci.ErrConflict].
type Append func(ctx context.Context, offset int64, data []byte) (next int64, err error)

// much is how many waiting bytes are sent without a pause.
const much = MaxChunk / 2

// Send sends the stream until it is closed and all of it is acknowledged. It
// returns the first error of store, except that a conflict which says how much
// is stored makes it go on from there. One Send at a time.
func (s *Stream) Send(ctx context.Context, store Append) error {
	var offset int64
	var last time.Time
	for {
		data, closed, err := s.take(last)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			if closed {
				return nil
			}
			if err := s.await(ctx, last); err != nil {
				return err
			}
			continue
		}
		last = time.Now()
		for rest := data; len(rest) > 0; {
			chunk := rest[:min(len(rest), MaxChunk)]
			if err := send(ctx, store, offset, chunk); err != nil {
				return err
			}
			offset += int64(len(chunk))
			rest = rest[len(chunk):]
		}
		s.give(data)
	}
}

// send sends one chunk until all of it is stored.
func send(ctx context.Context, store Append, offset int64, chunk []byte) error {
	end := offset + int64(len(chunk))
	from := offset
	for stuck := 0; from < end; {
		next, err := store(ctx, from, chunk[from-offset:])
		switch {
		case err != nil && !(errors.Is(err, ci.ErrConflict) && next < from && next >= offset):
			return err
		case next < offset:
			return fmt.Errorf("send output: server has %d bytes of it after it had %d", next, offset)
		case next > end:
			return fmt.Errorf("send output: server has %d bytes of it after %d were sent: %w", next, end, ci.ErrConflict)
		case next <= from:
			if stuck++; stuck > 10 {
				return fmt.Errorf("send output: server stores nothing at offset %d", from)
			}
		}
		from = next
	}
	return nil
}

// await waits until there may be something to take.
func (s *Stream) await(ctx context.Context, last time.Time) error {
	var due <-chan time.Time
	s.mu.Lock()
	if len(s.mem) > 0 {
		t := time.NewTimer(s.cfg.Pause - time.Since(last))
		defer t.Stop()
		due = t.C
	}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.wake:
	case <-due:
	}
	return nil
}

// take removes what is to be sent next from the stream: nothing while it is
// better to let more gather.
func (s *Stream) take(last time.Time) (data []byte, closed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.mem); n > 0 {
		if n < much && !s.closed && time.Since(last) < s.cfg.Pause {
			return nil, false, nil
		}
		data, s.mem = s.mem, nil
		return data, s.closed, nil
	}
	if s.r == s.w {
		return nil, s.closed, nil
	}
	at := s.r % s.ring()
	n := min(s.w-s.r, MaxChunk, s.ring()-at)
	data = s.spare[:0]
	if int64(cap(data)) < n {
		data = make([]byte, MaxChunk)
	}
	s.spare = nil
	data = data[:n]
	if _, err := s.file.ReadAt(data, at); err != nil {
		return nil, false, fmt.Errorf("read spool: %w", err)
	}
	s.r += n
	if s.r == s.w {
		s.r, s.w = 0, 0
		s.mem, s.tail = s.tail, nil
		if err := s.file.Truncate(0); err != nil && !errors.Is(err, os.ErrClosed) {
			return nil, false, fmt.Errorf("empty spool: %w", err)
		}
	}
	return data, s.closed, nil
}

// give returns a buffer for use again.
func (s *Stream) give(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spare == nil && cap(data) <= memory {
		s.spare = data[:0]
	}
}
