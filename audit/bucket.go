package audit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The names of objects begin with these: the files of events, as the guide has
// it, and the checkpoints, which are elsewhere so that programs that read every
// file of the first meet events only.
const (
	FilePrefix       = "audit-logs/audit_log/v1/"
	CheckpointPrefix = "audit-logs/digest/v1/"
)

// A Bucket keeps objects that are written once. All methods are safe for
// concurrent use. Suite audittest says what it must do.
type Bucket interface {
	// Create writes an object and returns when it would survive a loss of
	// power; before, nobody sees any of it. One that is there already is left
	// as it is, and the answer is [ci.ErrConflict].
	Create(ctx context.Context, key string, data []byte) error
	// Open reads an object; one that is not there is [ci.ErrNotFound].
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// List yields the names that begin with prefix and are greater than after,
	// in order.
	List(ctx context.Context, prefix, after string) iter.Seq2[string, error]
}

// hourName is the beginning of an object's name. It has no colon, which some
// file systems and tools refuse.
func hourName(hour time.Time) string { return hour.UTC().Format("2006-01-02T15-04-05Z") }

func fileKey(hour time.Time, first uint64) string {
	return fmt.Sprintf("%s%s_%012d.json", FilePrefix, hourName(hour), first)
}

func checkpointKey(hour time.Time, number uint64) string {
	return fmt.Sprintf("%s%s_%012d.note", CheckpointPrefix, hourName(hour), number)
}

// Memory is a bucket in memory: the reference, and everybody's fake. The zero
// Memory is empty.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// Create writes an object.
func (m *Memory) Create(ctx context.Context, key string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.objects[key]; there {
		return fmt.Errorf("create %s: there is an object of this name: %w", key, ci.ErrConflict)
	}
	if m.objects == nil {
		m.objects = map[string][]byte{}
	}
	m.objects[key] = bytes.Clone(data)
	return nil
}

// Open reads an object.
func (m *Memory) Open(_ context.Context, key string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", key, ci.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// List yields names in order.
func (m *Memory) List(_ context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		m.mu.Lock()
		keys := slices.Sorted(maps.Keys(m.objects))
		m.mu.Unlock()
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) && k > after && !yield(k, nil) {
				return
			}
		}
	}
}

// readAll reads an object as a whole.
func readAll(ctx context.Context, b Bucket, key string) ([]byte, error) {
	r, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err := closing(r, err); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// closing closes what was read and returns the first error.
func closing(r io.Closer, err error) error {
	if bad := r.Close(); err == nil {
		err = bad
	}
	return err
}
