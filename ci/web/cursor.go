package web

import (
	"fmt"
	"strconv"
	"strings"
)

// A cursor is how far a watcher of a job has come: the identity of each
// message, from which a stream can go on in any process.
type cursor struct {
	seq   uint64 // the newest event it knows of
	epoch int64  // the hand-out whose steps it shows; 0 is none yet
	steps int    // it knows the steps with a lower index
	live  []mark // of these, those whose output it does not have to the end
}

// A mark is how far a watcher has read the output of a step.
type mark struct {
	step   int
	offset int64
	pen    pen
}

// String returns the cursor in a form that suits addresses and headers.
func (c cursor) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d.%d.%d", c.seq, c.epoch, c.steps)
	for _, m := range c.live {
		fmt.Fprintf(&b, "_%d.%d.%s", m.step, m.offset, m.pen)
	}
	return b.String()
}

// maxLive bounds the steps that one watcher follows at the same time.
const maxLive = 32

// parseCursor is the inverse of String.
func parseCursor(s string) (cursor, error) {
	bad := fmt.Errorf("cursor %.100q", s)
	if len(s) > 64*(maxLive+1) {
		return cursor{}, bad
	}
	var c cursor
	for i, group := range strings.Split(s, "_") {
		f := strings.Split(group, ".")
		if len(f) != 3 {
			return cursor{}, bad
		}
		a, errA := strconv.ParseUint(f[0], 10, 63)
		b, errB := strconv.ParseUint(f[1], 10, 62)
		if errA != nil || errB != nil {
			return cursor{}, bad
		}
		if i == 0 {
			n, err := strconv.ParseUint(f[2], 10, 20)
			if err != nil {
				return cursor{}, bad
			}
			c = cursor{seq: a, epoch: int64(b), steps: int(n)}
			continue
		}
		pen, err := parsePen(f[2])
		if err != nil || a >= uint64(c.steps) || len(c.live) == maxLive || c.mark(int(a)) != nil {
			return cursor{}, bad
		}
		c.live = append(c.live, mark{step: int(a), offset: int64(b), pen: pen})
	}
	return c, nil
}

// mark returns the mark of a step, or nil.
func (c *cursor) mark(step int) *mark {
	for i := range c.live {
		if c.live[i].step == step {
			return &c.live[i]
		}
	}
	return nil
}
