package wire

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/rondo-ci/rondo/ci"
)

// MaxParallel is how many texts of one person may be compiled at once.
const MaxParallel = 4

// A Gate lets in a few callers of a kind at a time. The zero Gate is open. It
// is safe for concurrent use.
type Gate struct {
	mu   sync.Mutex
	busy map[string]int
}

// Compile calls run within what one person may ask for, and else returns a
// [Refusal].
func (g *Gate) Compile(by ci.Actor, run func() error) error {
	who := string(by.Kind) + "\n" + by.ID + "\n" + by.Login
	if !g.enter(who) {
		return Refuse(http.StatusTooManyRequests, fmt.Sprintf("%d texts of yours are being compiled; try again when one is done", MaxParallel))
	}
	defer g.leave(who)
	return run()
}

// enter reports whether there is room; the caller has to leave then.
func (g *Gate) enter(who string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy[who] >= MaxParallel {
		return false
	}
	if g.busy == nil {
		g.busy = map[string]int{}
	}
	g.busy[who]++
	return true
}

func (g *Gate) leave(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy[who]--; g.busy[who] == 0 {
		delete(g.busy, who)
	}
}
