package vmservice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rondo-ci/rondo/ci"
)

// A Pool gives tasks machines of their own. One process at a time should run one
// on the same documents: of two, each write of one is a conflict for the other,
// which then reads again and does nothing.
//
// What it knows is in memory and, before the provider is asked for anything,
// in the documents: after a crash it goes on where it was, with the same keys.
// All methods are safe for concurrent use.
type Pool struct {
	docs    ci.Docs
	driver  Driver
	volumes Volumes // nil when the driver has none
	guest   Guest
	cfg     Config
	wake    chan struct{}

	mu       sync.Mutex
	random   *rand.Rand
	loaded   bool
	drained  bool
	retired  bool // gives nothing out any more, for good
	beside   []*Pool
	poolVer  int64
	machines map[string]*machine // by key
	byTask   map[ci.TaskID]*machine
	leaving  map[ci.TaskID]*machine // the last that a task had, while it ends
	waiting  map[ci.TaskID]*waiter
	lines    map[Model]*line
	due      dueList
	layers   map[string]*layer // by key
	moving   map[string]*layer // those of layers that something is to be done about
	used     map[ci.MachineKind]use
	breakers map[ci.MachineKind]*breaker
	look     look
	counts   Counts
}

// A machine is one that may exist.
type machine struct {
	rec     Record
	version int64
	secrets *secrets // nil until they are opened
	stuck   bool     // people were told that it does not end
	// reported is the host key that it has posted.
	reported string
	kill     string // why it is to end as the next step
	busy     bool   // somebody works on it
	stale    bool   // what is written is not known
	called   time.Time
	lease    time.Time // of a claim
	probed   time.Time
	tries    int
	misses   int
	seen     Machine // as it was last listed
	listed   bool    // it was listed once
	unseen   int     // looks in a row without it
	next     time.Time
	place    int // in the due list
}

// A waiter is a task that has no machine yet.
type waiter struct {
	record Record // what its machine will say of it
	model  Model
	layers bool
	why    string // not to have layers
	since  time.Time
	lease  time.Time
	taken  bool // a machine is being written down for it
}

// New returns a pool over a driver. It starts nothing.
func New(docs ci.Docs, d Driver, g Guest, cfg Config) *Pool {
	cfg = cfg.filled()
	var seed [32]byte
	_, err := cfg.Boot.Random.Read(seed[:])
	p := &Pool{
		docs: docs, driver: d, guest: g, cfg: cfg, wake: make(chan struct{}, 1), random: rand.New(rand.NewChaCha8(seed)),
		machines: map[string]*machine{}, byTask: map[ci.TaskID]*machine{}, leaving: map[ci.TaskID]*machine{}, waiting: map[ci.TaskID]*waiter{}, lines: map[Model]*line{},
		layers: map[string]*layer{}, moving: map[string]*layer{}, used: map[ci.MachineKind]use{}, breakers: map[ci.MachineKind]*breaker{},
	}
	if err != nil {
		cfg.Log.Error("seed of jitter", "err", err)
	}
	if !cfg.Layers.Off {
		p.volumes, _ = d.(Volumes)
	}
	for _, f := range cfg.Floors {
		m := f.Model
		if m.Arch == "" {
			m.Arch = cfg.Boot.Arch
		}
		if k, err := cfg.class(m.Class); err == nil {
			m.Class = k.Name
		}
		p.line(m).floor += f.Machines
	}
	return p
}

// workers is how many calls to the provider and to machines may be under way.
const workers = 64

// Run keeps the pool until ctx ends; then machines that serve tasks are left
// as they are. It returns early only when the documents cannot be read or when
// somebody else writes them.
func (p *Pool) Run(ctx context.Context) error {
	if err := p.load(ctx); err != nil {
		return fmt.Errorf("read machines: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			err := g.Wait()
			if err == nil || errors.Is(err, context.Canceled) {
				err = ctx.Err()
			}
			return err
		case <-timer.C:
		case <-p.wake:
		}
		timer.Reset(p.tick(ctx, g.TryGo))
	}
}

// nudge makes Run look again.
func (p *Pool) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// tick starts what is due and returns when it has to be called again. Its cost
// is that of what is due.
func (p *Pool) tick(ctx context.Context, start func(func() error) bool) time.Duration {
	now := p.cfg.Clock()
	p.mu.Lock()
	if !p.look.busy && !now.Before(p.look.next) {
		p.look.busy = true
		if !start(func() error { return p.observe(ctx) }) {
			p.look.busy = false
		}
	}
	p.clearOut()
	pairs := p.match(now)
	p.grow(now)
	p.tidyLayers(now)
	for len(p.due) > 0 && !p.due[0].next.After(now) {
		m := p.due[0]
		if m.busy {
			p.due.remove(m)
			continue
		}
		m.busy = true
		if !start(func() error { return p.advance(ctx, m) }) {
			m.busy = false
			break
		}
		p.due.remove(m)
	}
	p.startLayers(ctx, now, start)
	next := p.look.next
	if len(p.due) > 0 && p.due[0].next.Before(next) {
		next = p.due[0].next
	}
	p.mu.Unlock()
	for _, pair := range pairs {
		if err := p.commit(ctx, pair); err != nil {
			p.cfg.Log.Warn("give machine", "task", pair.w.record.Task, "err", err)
		}
	}
	return min(max(next.Sub(now), 50*time.Millisecond), time.Minute)
}

// advance does the next step of one machine, which is busy.
func (p *Pool) advance(ctx context.Context, m *machine) error {
	if m.stale {
		if err := p.reload(ctx, m); err != nil {
			p.cfg.Log.Warn("read machine again", "machine", m.rec.Key, "err", err)
			p.settle(m, p.backoff(m))
			return nil
		}
	}
	p.mu.Lock()
	r, known, kill := m.rec, p.machines[m.rec.Key] == m, m.kill
	p.mu.Unlock()
	if !known {
		return nil
	}
	if kill != "" && r.State != Ending {
		if err := p.endNow(ctx, m, kill); err != nil {
			p.settle(m, p.backoff(m))
		} else {
			p.settle(m, 0)
		}
		return nil
	}
	var next time.Duration
	switch r.State {
	case Asked:
		next = p.create(ctx, m, r)
	case Booting:
		next = p.probe(ctx, m, r)
	case Ready:
		return p.keepReady(ctx, m, r)
	case Claimed:
		if r.Delivered {
			next = p.keepClaimed(ctx, m, r)
		} else {
			next = p.prepare(ctx, m, r)
		}
	case Ending:
		next = p.end(ctx, m, r)
	}
	p.settle(m, next)
	return nil
}

// settle ends the work on a machine until the next step is due.
func (p *Pool) settle(m *machine, next time.Duration) {
	p.mu.Lock()
	m.busy = false
	if m.kill != "" && m.tries == 0 && m.rec.State != Ending { // it was doomed meanwhile
		next = 0
	}
	if p.machines[m.rec.Key] == m {
		p.at(m, p.cfg.Clock().Add(next))
	}
	p.mu.Unlock()
	p.nudge()
}

// at makes the next step of a machine due.
func (p *Pool) at(m *machine, when time.Time) {
	p.due.remove(m)
	m.next = when
	p.due.add(m)
}

// backoff returns how long to wait before the next try: more each time, with
// full jitter.
func (p *Pool) backoff(m *machine) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.tries++
	return p.jitter(m.tries)
}

func (p *Pool) jitter(tries int) time.Duration {
	most := min(time.Second<<min(tries, 10), maxBackoff)
	return time.Second/2 + time.Duration(p.random.Int64N(int64(most)))
}
