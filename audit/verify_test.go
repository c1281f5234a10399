package audit_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/audittest"
	"github.com/rondo-ci/rondo/ci"
)

// copied returns a copy of a bucket with changes.
func copied(t testing.TB, from audit.Bucket, change func(key string, data []byte) []byte) *audit.Memory {
	to := &audit.Memory{}
	for _, k := range audittest.Keys(t, from) {
		if data := change(k, bytes.Clone(read(t, from, k))); data != nil {
			require.NoError(t, to.Create(ctx, k, data))
		}
	}
	return to
}

// Every byte of every object, changed in some way, is found, and the line that
// it is in is named.
func TestAUD15_AnyByte(t *testing.T) {
	w := newWorld(t, audit.Config{})
	w.fill(t, 4)
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	require.NoError(t, w.Record(ctx, act(9)))
	require.NoError(t, w.Seal(ctx, noon.Add(2*time.Hour)))
	tried := 0
	for _, key := range audittest.Keys(t, w.bucket) {
		whole := read(t, w.bucket, key)
		for i := range whole {
			for _, flip := range []byte{1, 0x20, '\n' ^ whole[i], 0x80} {
				if flip == 0 {
					continue
				}
				bad := copied(t, w.bucket, func(k string, data []byte) []byte {
					if k == key {
						data[i] ^= flip
					}
					return data
				})
				_, err := audit.Verify(ctx, bad, w.key)
				var d *audit.Damage
				require.ErrorAs(t, err, &d, "%s byte %d", key, i)
				require.Equal(t, key, d.Key)
				if strings.HasPrefix(key, audit.FilePrefix) {
					require.Equal(t, 1+bytes.Count(whole[:i], []byte("\n")), d.Line, "%s byte %d: %v", key, i, err)
				}
				tried++
			}
		}
	}
	require.Greater(t, tried, 10_000)
}

func TestAUD15_LinesAndFilesMoved(t *testing.T) {
	w := newWorld(t, audit.Config{})
	w.fill(t, 4)
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	require.NoError(t, w.Record(ctx, act(9)))
	require.NoError(t, w.Seal(ctx, noon.Add(2*time.Hour)))
	keys := audittest.Keys(t, w.bucket)
	lines := func(change func([][]byte) [][]byte) func(string, []byte) []byte {
		return func(k string, data []byte) []byte {
			if k != keys[0] {
				return data
			}
			return bytes.Join(change(bytes.SplitAfter(data, []byte("\n"))), nil)
		}
	}
	for name, change := range map[string]func(string, []byte) []byte{
		"swap":     lines(func(l [][]byte) [][]byte { l[1], l[2] = l[2], l[1]; return l }),
		"drop":     lines(func(l [][]byte) [][]byte { return append(l[:1], l[2:]...) }),
		"cut":      lines(func(l [][]byte) [][]byte { return l[:3] }),
		"double":   lines(func(l [][]byte) [][]byte { return append(l[:2], l[1:]...) }),
		"file":     func(k string, d []byte) []byte { return map[bool][]byte{true: d}[k != keys[0]] },
		"last":     func(k string, d []byte) []byte { return map[bool][]byte{true: d}[k != keys[1]] },
		"note":     func(k string, d []byte) []byte { return map[bool][]byte{true: d}[k != keys[2]] },
		"no notes": func(k string, d []byte) []byte { return map[bool][]byte{true: d}[k != keys[2] && k != keys[3]] },
	} {
		_, err := audit.Verify(ctx, copied(t, w.bucket, change), w.key)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
	}
	// The newest file and its checkpoint together: only the database knows.
	cut := copied(t, w.bucket, func(k string, d []byte) []byte { return map[bool][]byte{true: d}[k != keys[1] && k != keys[3]] })
	_, err := audit.Verify(ctx, cut, w.key)
	require.NoError(t, err)
	_, err = audit.New(w.db, cut, newSigner(t), audit.Config{}).Check(ctx)
	require.ErrorContains(t, err, "the newest are missing")
	other, err := audit.NewSigner("ci.example", []byte("another seed of tests"))
	require.NoError(t, err)
	_, err = audit.Verify(ctx, w.bucket, other.Key())
	require.ErrorContains(t, err, "not signed by")
}

func TestAUD15_Prove(t *testing.T) {
	w := newWorld(t, audit.Config{MaxFile: 3000})
	w.fill(t, 23)
	require.NoError(t, w.Seal(ctx, noon.Add(time.Hour)))
	for _, l := range w.lines(t) {
		e := event(t, l.Text)
		p, err := audit.Prove(ctx, w.bucket, w.key, e.ID)
		require.NoError(t, err)
		got, err := p.Check(w.key)
		require.NoError(t, err)
		require.Equal(t, e.ID, got.ID)
		if len(p.Path) > 0 {
			p.Path[0] = strings.Repeat("00", 32)
			_, err = p.Check(w.key)
			require.ErrorIs(t, err, ci.ErrInvalid)
		}
	}
	_, err := audit.Prove(ctx, w.bucket, w.key, "none")
	require.ErrorIs(t, err, ci.ErrNotFound)
	require.False(t, errors.Is(err, ci.ErrInvalid))
}
