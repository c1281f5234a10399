package graphql

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// What one person may have compiled: so many texts at once, each for so long.
const (
	maxParallel = 4
	compileTime = 5 * time.Second
)

// A gate lets in a few callers of a kind at a time.
type gate struct {
	mu   sync.Mutex
	busy map[string]int
}

// enter reports whether there is room; the caller has to leave then.
func (g *gate) enter(who string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy[who] >= maxParallel {
		return false
	}
	if g.busy == nil {
		g.busy = map[string]int{}
	}
	g.busy[who]++
	return true
}

func (g *gate) leave(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy[who]--; g.busy[who] == 0 {
		delete(g.busy, who)
	}
}

// compile runs a compiler within what the caller may ask for.
func (c *call) compile(ctx context.Context, run func(context.Context) (string, error)) (string, error) {
	if err := c.spend(effortCompile); err != nil {
		return "", err
	}
	who := c.by.ID + "\n" + c.by.Login
	if !c.gate.enter(who) {
		return "", wire.Refuse(http.StatusTooManyRequests, fmt.Sprintf("%d texts of yours are being compiled; try again when one is done", maxParallel))
	}
	defer c.gate.leave(who)
	limited, cancel := context.WithTimeout(ctx, compileTime)
	defer cancel()
	out, err := run(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("this takes more than %s to compile; make it smaller: %w", compileTime, ci.ErrInvalid)
	}
	return out, err
}
