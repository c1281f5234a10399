package scheduler

import (
	"container/heap"
	"container/list"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A queue holds the waiting entries by project, and what each project and
// organisation has running. It does not know the cluster. Its operations do
// not slow with the number of waiting entries.
type queue struct {
	cfg      *Config
	projects map[ci.ProjectID]*project
	orgs     map[string]*org
	classes  map[string]*demand // by class
	waiting  int
	vnow     float64 // virtual time: start tag of the last hand-out
}

// A project is the queue of one project: one lane for each class, so that an
// entry that fits nowhere does not hide those behind it that do.
type project struct {
	id      ci.ProjectID
	org     *org
	lanes   map[string]*list.List // of *entry, by seq
	waiting int
	running float64 // shares
	vtime   float64 // virtual finish of its last hand-out
	weight  float64
}

// An org counts what the limit is about.
type org struct {
	name            string
	waiting, active int
	promoted        int       // waiting, exempt from the limit
	opened          time.Time // when it last fell below the limit
	projects        map[*project]bool
}

// A demand is what waits of one class.
type demand struct {
	need    Resources
	waiting int
}

func newQueue(cfg *Config) *queue {
	return &queue{
		cfg: cfg, projects: make(map[ci.ProjectID]*project),
		orgs: make(map[string]*org), classes: make(map[string]*demand),
	}
}

// of returns the project that the entry belongs to.
func (q *queue) of(e *entry) *project {
	t := e.ticket.Task
	p := q.projects[t.Project]
	if p == nil {
		o := q.orgs[t.Org]
		if o == nil {
			o = &org{name: t.Org, projects: make(map[*project]bool)}
			q.orgs[t.Org] = o
		}
		p = &project{id: t.Project, org: o, lanes: make(map[string]*list.List), weight: q.cfg.weight(t.Project)}
		o.projects[p] = true
		q.projects[t.Project] = p
	}
	return p
}

// add puts the entry into the queue, in order of arrival.
func (q *queue) add(e *entry) {
	p := q.of(e)
	lane := p.lanes[e.class]
	if lane == nil {
		lane = list.New()
		p.lanes[e.class] = lane
	}
	// A new entry belongs at the end, one that comes back near the front.
	if back := lane.Back(); back == nil || back.Value.(*entry).seq < e.seq {
		e.lane = lane.PushBack(e)
	} else {
		at := lane.Front()
		for at.Value.(*entry).seq < e.seq {
			at = at.Next()
		}
		e.lane = lane.InsertBefore(e, at)
	}
	e.project, e.stage = p, stageWaiting
	d := q.classes[e.class]
	if d == nil {
		d = &demand{need: e.need}
		q.classes[e.class] = d
	}
	q.count(e, d, 1)
}

// take removes the entry from the queue.
func (q *queue) take(e *entry) {
	lane := e.project.lanes[e.class]
	lane.Remove(e.lane)
	e.lane = nil
	if lane.Len() == 0 {
		delete(e.project.lanes, e.class)
	}
	q.count(e, q.classes[e.class], -1)
	q.tidy(e.project)
}

func (q *queue) count(e *entry, d *demand, n int) {
	e.project.waiting += n
	e.project.org.waiting += n
	if e.promoted {
		e.project.org.promoted += n
	}
	q.waiting += n
	if d.waiting += n; d.waiting == 0 {
		delete(q.classes, e.class)
	}
}

// started charges a hand-out to the project of the entry.
func (q *queue) started(e *entry) {
	p := q.of(e)
	e.project = p
	start := max(p.vtime, q.vnow)
	p.vtime = start + e.held.share()/p.weight
	q.vnow = start
	q.resumed(e)
}

// resumed counts a hand-out that was charged before.
func (q *queue) resumed(e *entry) {
	e.project = q.of(e)
	e.project.running += e.held.share()
	e.project.org.active++
}

// stopped takes back what resumed has counted.
func (q *queue) stopped(e *entry) {
	p := e.project
	p.running = max(0, p.running-e.held.share())
	if p.org.active == q.cfg.OrgLimit {
		p.org.opened = time.Now()
	}
	if p.org.active--; p.org.active == 0 && p.waiting == 0 {
		p.running = 0 // no drift from fractions
	}
	q.tidy(p)
}

// tidy forgets a project that has nothing and owes nothing.
func (q *queue) tidy(p *project) {
	if p.waiting > 0 || p.running > 1e-6 || p.vtime > q.vnow {
		return
	}
	delete(q.projects, p.id)
	delete(p.org.projects, p)
	if len(p.org.projects) == 0 && p.org.active == 0 {
		delete(q.orgs, p.org.name)
	}
}

// sweep forgets the projects that owe nothing any more.
func (q *queue) sweep() {
	for _, p := range q.projects {
		q.tidy(p)
	}
}

// heads returns the first entry of each lane that may start now, by arrival.
func (p *project) heads(now time.Time) []*entry {
	var heads []*entry
	for _, lane := range p.lanes {
		e := lane.Front().Value.(*entry)
		if e.notBefore.After(now) {
			continue
		}
		i := len(heads)
		heads = append(heads, e)
		for ; i > 0 && heads[i-1].seq > e.seq; i-- {
			heads[i-1], heads[i] = heads[i], heads[i-1]
		}
	}
	return heads
}

// free returns how many more tasks the organisation may have with the cluster;
// negative is any number.
func (q *queue) free(o *org) int {
	if q.cfg.OrgLimit <= 0 {
		return -1
	}
	return max(0, q.cfg.OrgLimit-o.active)
}

// fair returns the projects that have something waiting, the one whose turn it
// is on top.
func (q *queue) fair() *turns {
	t := turns{vnow: q.vnow}
	for _, p := range q.projects {
		if p.waiting > 0 {
			t.projects = append(t.projects, p)
		}
	}
	heap.Init(&t)
	return &t
}

// turns is a heap of projects in fair order.
type turns struct {
	projects []*project
	vnow     float64
}

func (t *turns) Len() int { return len(t.projects) }
func (t *turns) Less(i, j int) bool {
	return t.projects[i].before(t.projects[j], t.vnow)
}
func (t *turns) Swap(i, j int) { t.projects[i], t.projects[j] = t.projects[j], t.projects[i] }
func (t *turns) Push(x any)    { t.projects = append(t.projects, x.(*project)) }
func (t *turns) Pop() any {
	last := len(t.projects) - 1
	p := t.projects[last]
	t.projects = t.projects[:last]
	return p
}

// before says whose turn is first: that of the project with the smaller share
// running, then the one served less, then the one that has waited longer.
func (p *project) before(o *project, vnow float64) bool {
	const equal = 1e-6
	if a, b := p.running/p.weight, o.running/o.weight; a < b-equal || a > b+equal {
		return a < b
	}
	if a, b := max(p.vtime, vnow), max(o.vtime, vnow); a < b-equal || a > b+equal {
		return a < b
	}
	if a, b := p.oldest(), o.oldest(); a != b {
		return a < b
	}
	return p.id < o.id
}

// oldest returns the arrival of the entry that has waited longest.
func (p *project) oldest() uint64 {
	oldest := ^uint64(0)
	for _, lane := range p.lanes {
		oldest = min(oldest, lane.Front().Value.(*entry).seq)
	}
	return oldest
}
