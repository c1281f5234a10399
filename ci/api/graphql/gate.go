package graphql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// compileTime is how long the compilation of one text may take.
const compileTime = 5 * time.Second

// compile runs a compiler within what the caller may ask for.
func (c *call) compile(ctx context.Context, run func(context.Context) (string, error)) (out string, err error) {
	if err := c.spend(effortCompile); err != nil {
		return "", err
	}
	limited, cancel := context.WithTimeout(ctx, compileTime)
	defer cancel()
	err = c.gate.Compile(c.by, func() error {
		out, err = run(limited)
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("this takes more than %s to compile; make it smaller: %w", compileTime, ci.ErrInvalid)
	}
	return out, err
}
