package web

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A graph is a workflow laid out in columns: each job stands right of all that
// it requires. Sizes are in CSS pixels.
type graph struct {
	Width, Height int
	Nodes         []node
	Edges         []edge
}

// A node is a job in its place.
type node struct {
	Job  ci.Job
	X, Y int // of the upper left corner
}

// An edge is the line from a required job to the one that requires it.
type edge struct {
	Path string // of an SVG path
	// Other says that it asks for another outcome than success.
	Other bool
}

// The measures of a graph.
const (
	nodeWidth, nodeHeight = 208, 44
	gapX, gapY            = 40, 14
	bendHeight            = 10 // of a place where a long edge passes a column
	margin                = 8
)

// A place is a slot in a column: a job, or a bend of an edge that passes.
type place struct {
	job   int // index, -1 for a bend
	col   int
	y     int
	order float64
	from  []*place
}

func (p *place) height() int {
	if p.job < 0 {
		return bendHeight
	}
	return nodeHeight
}

// layout places the jobs of a workflow. Edges that follow from others (a
// requires b, b requires c, a requires c) are left out.
func layout(jobs []ci.Job) graph {
	up := requirements(jobs)
	cols, at := columns(up)
	g := graph{}
	type line struct {
		over  []*place
		other bool
	}
	var lines []line
	for j, ups := range up {
		for _, u := range direct(up, j) {
			over := []*place{at[u]}
			for c := at[u].col + 1; c < at[j].col; c++ {
				bend := &place{job: -1, col: c, from: []*place{over[len(over)-1]}}
				cols[c] = append(cols[c], bend)
				over = append(over, bend)
			}
			at[j].from = append(at[j].from, over[len(over)-1])
			lines = append(lines, line{append(over, at[j]), ups[u]})
		}
	}
	g.Height = arrange(cols)
	g.Width = 2*margin + len(cols)*(nodeWidth+gapX) - gapX
	for j := range jobs {
		g.Nodes = append(g.Nodes, node{Job: jobs[j], X: left(at[j].col), Y: at[j].y})
	}
	for _, l := range lines {
		g.Edges = append(g.Edges, edge{Path: curve(l.over), Other: l.other})
	}
	return g
}

// requirements returns, for each job, the indexes of those that it requires,
// and whether by another outcome than success.
func requirements(jobs []ci.Job) []map[int]bool {
	index := make(map[string]int, len(jobs))
	for i, j := range jobs {
		index[j.Name] = i
	}
	up := make([]map[int]bool, len(jobs))
	for i, j := range jobs {
		up[i] = make(map[int]bool, len(j.Requires))
		for _, r := range j.Requires {
			if u, known := index[r.Job]; known && u != i {
				up[i][u] = len(r.Statuses) > 0 && !slices.Equal(r.Statuses, []ci.Status{ci.Success})
			}
		}
	}
	return up
}

// columns puts each job into the first column right of all that it requires.
// A cycle, which no plan has, does no harm.
func columns(up []map[int]bool) ([][]*place, []*place) {
	at := make([]*place, len(up))
	depth := make([]int, len(up))
	var visit func(int) int
	visit = func(j int) int {
		if depth[j] != 0 {
			return max(depth[j], 0)
		}
		depth[j] = -1
		d := 0
		for u := range up[j] {
			d = max(d, visit(u))
		}
		depth[j] = d + 1
		return d + 1
	}
	var cols [][]*place
	for j := range up {
		c := visit(j) - 1
		for len(cols) <= c {
			cols = append(cols, nil)
		}
		at[j] = &place{job: j, col: c}
		cols[c] = append(cols[c], at[j])
	}
	return cols, at
}

// direct returns the requirements of job j that do not follow from others of
// it, in order.
func direct(up []map[int]bool, j int) []int {
	implied := make(map[int]bool)
	var visit func(int)
	visit = func(u int) {
		for v := range up[u] {
			if !implied[v] {
				implied[v] = true
				visit(v)
			}
		}
	}
	for u := range up[j] {
		visit(u)
	}
	var out []int
	for u, other := range up[j] {
		if other || !implied[u] {
			out = append(out, u)
		}
	}
	slices.Sort(out)
	return out
}

// arrange orders each column by where its edges come from, stacks it, and
// returns the height of the whole.
func arrange(cols [][]*place) int {
	height := 0
	for _, col := range cols {
		for i, p := range col {
			p.order = float64(i) * nodeHeight
			if len(p.from) > 0 {
				p.order = 0
				for _, f := range p.from {
					p.order += float64(f.y+f.height()/2) / float64(len(p.from))
				}
			}
		}
		slices.SortStableFunc(col, func(a, b *place) int { return cmp.Compare(a.order, b.order) })
		y := margin
		for _, p := range col {
			p.y = y
			y += p.height() + gapY
		}
		height = max(height, y-gapY+margin)
	}
	return height
}

func left(col int) int { return margin + col*(nodeWidth+gapX) }

// curve returns the SVG path through the places.
func curve(over []*place) string {
	from := over[0]
	x, y := left(from.col)+nodeWidth, from.y+from.height()/2
	path := fmt.Sprintf("M%d %d", x, y)
	for _, p := range over[1:] {
		px, py := left(p.col), p.y+p.height()/2
		path += fmt.Sprintf("C%d %d %d %d %d %d", x+gapX/2, y, px-gapX/2, py, px, py)
		x, y = px, py
		if p.job < 0 {
			x += nodeWidth
			path += fmt.Sprintf("H%d", x)
		}
	}
	return path
}
