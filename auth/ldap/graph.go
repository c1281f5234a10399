package ldap

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	wire "github.com/go-ldap/ldap/v3"
)

// How old what is remembered of groups within groups may be, from which age on
// it is asked for anew in the background, how long it is after the last login
// that had use for it, and how many groups are remembered.
const (
	graphAge   = 5 * time.Minute
	graphRenew = 2 * time.Minute
	graphIdle  = time.Hour
	graphSize  = 4000
)

// A graph remembers which groups are in which groups, so that a login need not
// climb them level by level. Logins only read it and say what they miss;
// [Directory.Run] asks. The groups that list a person it does not know.
type graph struct {
	mu    sync.Mutex
	nodes map[string]*node // by the key of the DN
	poke  chan struct{}
}

// A node is a group and the groups that list it.
type node struct {
	dn      string
	parents []parent
	asked   time.Time // zero is never
	wanted  time.Time
}

type parent struct{ key, dn, name string }

func newGraph() *graph { return &graph{nodes: map[string]*node{}, poke: make(chan struct{}, 1)} }

// climb adds all groups above the direct ones, if all of them are known, and
// returns since when that was so at least. Else it adds nothing, and what is
// not known is asked for soon.
func (g *graph) climb(all groups, direct []*wire.Entry, depth int) (since time.Time, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	since, ok = now, true
	above := groups{}
	var level []parent
	for _, e := range direct {
		level = append(level, parent{key: key(e.DN), dn: e.DN})
	}
	for ; len(level) > 0 && depth > 1; depth-- {
		var next []parent
		for _, at := range level {
			n := g.want(at, now)
			if n == nil || now.Sub(n.asked) >= graphAge {
				ok = false
				continue
			}
			if n.asked.Before(since) {
				since = n.asked
			}
			for _, p := range n.parents {
				_, one := all[p.key]
				if _, other := above[p.key]; !one && !other {
					above[p.key] = p.name
					next = append(next, p)
				}
			}
		}
		level = next
	}
	if len(level) > 0 { // deeper than allowed: the climb by requests says so
		ok = false
	}
	if !ok || len(all)+len(above) > maxGroups {
		select {
		case g.poke <- struct{}{}:
		default:
		}
		return time.Time{}, false
	}
	maps.Copy(all, above)
	return since, true
}

// want returns the node of a group, and makes it if there is room.
func (g *graph) want(at parent, now time.Time) *node {
	n := g.nodes[at.key]
	if n == nil && len(g.nodes) < graphSize {
		n = &node{dn: at.dn}
		g.nodes[at.key] = n
	}
	if n != nil {
		n.wanted = now
	}
	return n
}

// due forgets what nobody wants any more, and returns the DNs of what is to be
// asked for: of groups that are in no other, as far as is known, and of those
// that are.
func (g *graph) due() (flat, nested []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for k, n := range g.nodes {
		switch {
		case now.Sub(n.wanted) > graphIdle:
			delete(g.nodes, k)
		case now.Sub(n.asked) < graphRenew:
		case len(n.parents) == 0:
			flat = append(flat, n.dn)
		default:
			nested = append(nested, n.dn)
		}
	}
	slices.Sort(flat)
	return flat, nested
}

// learn notes the groups that list a group, as they were at a time. They are
// wanted as long as it is.
func (g *graph) learn(dn string, parents []parent, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[key(dn)]
	if n == nil {
		return
	}
	n.parents, n.asked = parents, at
	for _, p := range parents {
		g.want(p, n.wanted)
	}
}

// refresh asks for what is due, until nothing is: what it learns may have
// parents of its own.
func (d *Directory) refresh(ctx context.Context) error {
	for range d.s.Groups.Depth {
		flat, nested := d.graph.due()
		if len(flat)+len(nested) == 0 {
			return nil
		}
		due := slices.Collect(slices.Chunk(flat, maxOr))
		due = slices.AppendSeq(due, slices.Chunk(nested, 1))
		for _, some := range due {
			work, cancel := context.WithTimeout(ctx, d.patience())
			err := d.search(work, nil, func(s searcher) error { return s.above(some) })
			cancel()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// above learns which groups list each of some. Most groups are in no other: one
// request says so of all at once, and where it says otherwise, each half is
// asked about.
func (s searcher) above(some []string) error {
	at := time.Now() // before the question: what it says may be older than the answer
	var conditions []string
	for _, dn := range some {
		conditions = append(conditions, membership(s.d.s.GroupMembership, dn))
	}
	found, err := s.level(groups{}, "groups above groups", "(|"+strings.Join(conditions, "")+")")
	switch {
	case err != nil:
		return explain(err, "group_search_dn "+s.d.s.Groups.SearchDN)
	case len(found) > 0 && len(some) > 1:
		if err := s.above(some[:len(some)/2]); err != nil {
			return err
		}
		return s.above(some[len(some)/2:])
	}
	var parents []parent
	for _, e := range found {
		parents = append(parents, parent{key(e.DN), e.DN, nameOf(e)})
	}
	for _, dn := range some {
		s.d.graph.learn(dn, parents, at)
	}
	return nil
}
