package ldap

import (
	"context"
	"time"

	wire "github.com/go-ldap/ldap/v3"
)

// Refresh is what Run does of itself when a login has missed something.
func (d *Directory) Refresh(ctx context.Context) error { return d.refresh(ctx) }

// A Graph is what is remembered of groups, for tests.
type Graph struct{ g *graph }

// NewGraph returns an empty one.
func NewGraph() Graph { return Graph{newGraph()} }

// Entries are groups of these DNs.
func Entries(dns ...string) (all []*wire.Entry) {
	for _, dn := range dns {
		all = append(all, &wire.Entry{DN: dn})
	}
	return all
}

// Climb returns the names of the groups above.
func (g Graph) Climb(direct []*wire.Entry, depth int) ([]string, bool) {
	all := groups{}
	_, ok := g.g.climb(all, direct, depth)
	return all.names(), ok
}

// Due and Learn are those of the graph.
func (g Graph) Due() (flat, nested []string) { return g.g.due() }

// Learn notes the groups above one.
func (g Graph) Learn(dn string, parents ...string) {
	var all []parent
	for _, p := range parents {
		all = append(all, parent{key(p), p, firstRDN(p)})
	}
	g.g.learn(dn, all, time.Now())
}
