package graphql

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// The limits of a reply.
const (
	maxReply  = 32 << 20 // bytes
	maxValues = 100_000
	// maxEffort is how much of what costs more than a field one request may ask
	// for: texts to be compiled, and lists of all orbs.
	maxEffort     = 100
	effortCompile = 20
	effortList    = 2
)

// A call is one operation being executed.
type call struct {
	*Handler
	by     ci.Actor
	out    bytes.Buffer
	values int
	path   []any
	errs   []failure
	effort int
}

// spend counts effort, so that one request cannot ask for it a thousand times.
func (c *call) spend(n int) error {
	if c.effort += n; c.effort > maxEffort {
		return wire.Refuse(http.StatusTooManyRequests, fmt.Sprintf("this asks for more than %d texts to be compiled or %d lists; ask for less at once",
			maxEffort/effortCompile, maxEffort/effortList))
	}
	return nil
}

// A failure is an error as clients read it.
type failure struct {
	Message   string  `json:"message"`
	Locations []place `json:"locations,omitempty"`
	Path      []any   `json:"path,omitempty"`
}

// errFull ends a reply that is too large.
var errFull = errors.New("full")

// constant resolves to the same value everywhere.
func constant(v any) resolver {
	return func(context.Context, *call, any, args) (any, error) { return v, nil }
}

// fields writes the fields of an object.
func (c *call) fields(ctx context.Context, steps []step, parent any) error {
	c.out.WriteByte('{')
	for i, s := range steps {
		if i > 0 {
			c.out.WriteByte(',')
		}
		c.text(s.key)
		c.out.WriteByte(':')
		c.path = append(c.path, s.key)
		v, err := s.f.resolve(ctx, c, parent, s.args)
		if err != nil {
			v = nil
			c.fail(err, s.at)
		}
		if err := c.value(ctx, s, v); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
	c.out.WriteByte('}')
	return ctx.Err()
}

// fail notes the error of a field, whose value is null then.
func (c *call) fail(err error, at place) {
	_, text, known := wire.Answer(err)
	if !known && !errors.Is(err, context.Canceled) {
		c.log.Error("graphql", "field", fmt.Sprint(c.path...), "err", err)
	}
	c.errs = append(c.errs, failure{text, []place{at}, append([]any{}, c.path...)})
}

// value writes the value of a field.
func (c *call) value(ctx context.Context, s step, v any) error {
	if c.values++; c.values > maxValues || c.out.Len() > maxReply {
		return errFull
	}
	if list, ok := v.([]any); ok {
		c.out.WriteByte('[')
		for i, item := range list {
			if i > 0 {
				c.out.WriteByte(',')
			}
			c.path = append(c.path, i)
			if err := c.value(ctx, s, item); err != nil {
				return err
			}
			c.path = c.path[:len(c.path)-1]
		}
		c.out.WriteByte(']')
		return nil
	}
	switch v := v.(type) {
	case nil:
		c.out.WriteString("null")
	case time.Time:
		if v.IsZero() {
			c.out.WriteString("null")
			break
		}
		c.text(v.UTC().Format("2006-01-02T15:04:05.000Z"))
	case string:
		c.text(v)
	case bool, int:
		fmt.Fprint(&c.out, v)
	default:
		return c.fields(ctx, s.set, v)
	}
	return nil
}

// text writes a string.
func (c *call) text(s string) {
	e := json.NewEncoder(&c.out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	c.out.Truncate(c.out.Len() - 1) // the line end
}
