package sim

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// endOfTime is when agents give up that nobody answers, healLimit how long all
// may take to end once everything is healed.
const (
	endOfTime = 24 * time.Hour
	healLimit = 3 * time.Hour
)

// A world is one run.
type world struct {
	seed   uint64
	dice   *dice
	trace  *trace
	border *border
	yard   *yard
	db     *memdb.DB
	logs   *storage.Logs
	dir    string // of the logs; "" is the memory
	later  sync.WaitGroup

	mu     sync.Mutex
	life   *life
	bootAt time.Time
	lives  int
	names  map[ci.TaskID]string
	starts map[handOut]int       // of agents
	cuts   map[handOut]time.Time // until when an agent is cut off
	people people
}

// A life is one process of the server.
type life struct {
	*engine.Engine
	out     *gateway
	handler http.Handler
	began   time.Time
	cancel  context.CancelFunc
	done    chan error
}

func newWorld(seed uint64, dir string) *world {
	w := &world{
		seed: seed, dice: newDice(seed), trace: &trace{began: time.Now()}, border: newBorder(), yard: newYard(),
		db: memdb.New(), dir: dir, names: map[ci.TaskID]string{}, starts: map[handOut]int{}, cuts: map[handOut]time.Time{}, people: newPeople(),
	}
	w.yard.Cluster = schedulertest.NewCluster(w.agents, nodes()...)
	return w
}

func nodes() []scheduler.Node {
	return []scheduler.Node{schedulertest.Node("n1", 8, 16384), schedulertest.Node("n2", 4, 8192)}
}

// boot starts a process over what the earlier ones have left.
func (w *world) boot() error {
	if w.logs == nil || w.dir != "" {
		var err error
		if w.logs, err = storage.OpenLogs(w.dir, storage.LogsConfig{}); err != nil {
			return err
		}
	}
	key := door.Key(strings.Repeat("k", 32))
	out := &gateway{w: w}
	l := &life{out: out, began: time.Now(), done: make(chan error, 1)}
	db := store{w.db, out}
	l.Engine = engine.New(engine.Parts{
		DB: db, Backlog: backlog{w.db.Backlog(), out}, Logs: w.logs, Compiler: ci.CompilerFunc(w.compile),
		Cluster: cluster{w.yard, out}, Key: key,
	}, engine.Config{Queue: scheduler.Config{OrgLimit: 4}})
	// The engine's own door, over logs that fail.
	l.Door = door.New(l.Scheduler, l.Server, db, logs{w.logs, out}, nil, door.Config{})
	l.handler = door.Handler(l.Door, key)
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.Background())
	go func() {
		err := l.Run(ctx)
		out.dead.Store(true)
		l.done <- err
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.life = l
	w.lives++
	w.trace.say("server  starts, life %d", w.lives)
	return nil
}

// end ends the process that runs, and says when the next one comes.
func (w *world) end(how string, down time.Duration) {
	l := w.now()
	if l == nil {
		return
	}
	w.trace.say("server  is ended: %s, for %s", how, down)
	switch how {
	case "kill":
		l.out.dead.Store(true)
	case "interrupt":
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := l.Scheduler.Interrupt(ctx, "an upgrade"); err != nil {
			w.trace.say("server  interrupt: %v", err)
		}
		cancel()
	}
	l.cancel()
	<-l.done
	w.buried(down)
}

// buried notes that the process has ended.
func (w *world) buried(down time.Duration) {
	if w.dir != "" {
		_ = w.logs.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.life, w.bootAt = nil, time.Now().Add(down)
}

// now returns the process that runs, nil when there is none.
func (w *world) now() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life
}

// pass lets time pass. A process that has ended by itself, as one may whose
// database fails for long, is started again.
func (w *world) pass(d time.Duration) error {
	for end := time.Now().Add(d); ; time.Sleep(min(500*time.Millisecond, time.Until(end))) {
		w.mu.Lock()
		l, due := w.life, w.life == nil && !time.Now().Before(w.bootAt)
		w.mu.Unlock()
		if due {
			if err := w.boot(); err != nil {
				return err
			}
		}
		if l != nil && l.out.dead.Load() { // it died at a fault, or has given up
			l.cancel()
			w.trace.say("server  has ended: %v", <-l.done)
			w.buried(2 * time.Second)
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}

// know remembers the name of a task, which agents and faults are named by: the
// name of its job says in which pipeline it is.
func (w *world) know(t ci.Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[t.ID] = w.taskName(t)
}

func (w *world) taskName(t ci.Task) string { return fmt.Sprintf("%s#%d.%d", t.Name, t.Number, t.Index) }

func (w *world) nameOf(t ci.TaskID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.names[t]; n != "" {
		return n
	}
	return string(t)
}

// cut reports whether an agent cannot reach the server now.
func (w *world) cut(h handOut) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.cuts[h])
}

// heal ends all faults.
func (w *world) heal() {
	w.trace.say("----    everything is healed")
	w.dice.heal()
	w.yard.tellTruth()
	w.yard.SetNodes(nodes()...)
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
	w.bootAt = time.Now()
}

// run plays the world and returns how long the end took.
func (w *world) run() (time.Duration, error) {
	if err := w.settle(); err != nil {
		return 0, err
	}
	if err := w.boot(); err != nil {
		return 0, err
	}
	for i := range 8 + w.dice.n(40, "actions") {
		w.act(i)
		if err := w.pass(w.dice.between(10*time.Millisecond, 40*time.Second, "between")); err != nil {
			return 0, err
		}
	}
	w.heal()
	healed := time.Now()
	for {
		w.approveAll()
		if err := w.pass(5 * time.Second); err != nil {
			return 0, err
		}
		open := w.open()
		if open == "" {
			break
		}
		if time.Since(healed) > healLimit {
			w.trace.breaks("P5: %s after everything was healed: %s", time.Since(healed), open)
			break
		}
	}
	took := time.Since(healed)
	w.later.Wait() // what comes late or twice comes now
	events, _ := w.db.LastEvent(context.Background())
	w.end("kill", 0)
	if err := w.pass(2 * time.Minute); err != nil {
		return 0, err
	}
	if n, _ := w.db.LastEvent(context.Background()); n != events {
		w.trace.breaks("P14: a start after the end of all work added %d events", n-events)
	}
	w.end("stop", time.Hour)
	w.yard.Close()
	w.later.Wait()
	return took, nil
}

// open says what has not ended; "" is nothing.
func (w *world) open() string {
	ctx := context.Background()
	var left []string
	for id := range w.db.Open(ctx, "") {
		f, _ := w.db.Workflow(ctx, id)
		for _, j := range f.Jobs {
			if !j.Status.Ended() {
				left = append(left, fmt.Sprintf("job %s is %s", j.Name, j.Status))
			}
		}
	}
	for p := range w.db.Pipelines(ctx, ci.Query{State: ci.PipelinePending, Limit: 100}) {
		left = append(left, "pipeline "+p.Trigger.Key+" is pending")
	}
	for t := range w.db.Backlog().Open(ctx) {
		left = append(left, fmt.Sprintf("ticket %s is %s", w.taskName(t.Task), t.State))
	}
	for _, p := range w.yard.Living() {
		left = append(left, "agent of "+w.taskName(p.Task)+" lives")
	}
	if n := w.people.waiting(); n > 0 {
		left = append(left, fmt.Sprintf("%d triggers are not accepted", n))
	}
	if l := w.now(); l != nil && len(left) == 0 {
		for _, n := range l.Scheduler.Snapshot().Nodes {
			if n.Placements > 0 || n.Used != (scheduler.Resources{}) {
				left = append(left, fmt.Sprintf("node %s holds %d placements", n.Name, n.Placements))
			}
		}
	}
	return strings.Join(left, "; ")
}
