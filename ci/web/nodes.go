package web

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// nodesBody is what the page of nodes shows, or of one of them.
type nodesBody struct {
	notice
	Rows  []nodeRow
	State ci.QueueState
	One   bool // it is the page of one node
}

// A nodeRow is a machine that runs tasks, and what it has.
type nodeRow struct {
	ci.Node
	Tasks []taskRow // nil when the reader may not know
}

// A taskRow is a hand-out on a node.
type taskRow struct {
	ci.Trace
	Path string // of its job
}

// Ready returns how many nodes take tasks.
func (b nodesBody) Ready() int {
	n := 0
	for _, row := range b.Rows {
		if row.State == "ready" {
			n++
		}
	}
	return n
}

// Look returns how the state of a node is shown.
func (n nodeRow) Look() look {
	l := lookOf(ci.Success)
	switch n.State {
	case "ready":
	case "draining":
		l = lookOf(ci.OnHold)
	default:
		l = lookOf(ci.Failed)
	}
	l.Word = show(n.State)
	return l
}

// Brief is the beginning of the identity that people type.
func (n nodeRow) Brief() string { return begin(n.ID) }

// Brief is the beginning of the identity that people type.
func (t taskRow) Brief() string { return begin(t.Allocation) }

func begin(id string) string { return show(id[:min(8, len(id))]) }

// Path is the page of the node.
func (n nodeRow) Path() string { return "/nodes/" + url.PathEscape(n.ID) }

// Look returns how the state of a hand-out is shown.
func (t taskRow) Look() look {
	l := lookOf(ci.Queued)
	switch t.State {
	case "running":
		l = lookOf(ci.Running)
	case "dead":
		l = lookOf(ci.Canceled)
	}
	l.Word = show(t.State)
	return l
}

// Never is when a hand-out that is there has ended.
func (nodesBody) Never() time.Time { return time.Time{} }

// nodes serves the machines that run tasks.
func (s *site) nodes(w http.ResponseWriter, r *http.Request) error {
	return s.showNodes(w, r, http.StatusOK, noticeOf(r))
}

func (s *site) showNodes(w http.ResponseWriter, r *http.Request, code int, n notice) error {
	b, err := s.nodesBody(r)
	if err != nil {
		return err
	}
	b.notice = n
	v := view{Title: "Nodes", Body: b}
	if n.Done == "" && n.Problem == nil {
		v.Refresh = 5
	}
	return s.render(w, r, code, "nodes", v)
}

// nodesBody reads the nodes and, for operators, what they have.
func (s *site) nodesBody(r *http.Request) (nodesBody, error) {
	ops, ctx, by := s.cfg.Queue.Operations, r.Context(), actorOf(r)
	if ops == nil {
		return nodesBody{}, absent{"view of its nodes"}
	}
	state, err := ops.State(ctx, by)
	if err != nil {
		return nodesBody{}, err
	}
	b := nodesBody{State: state}
	on := make(map[string][]taskRow)
	traces, err := ops.Traces(ctx, 0, by)
	if err != nil && !errors.Is(err, ci.ErrDenied) {
		return b, err
	}
	for _, t := range traces {
		if t.State != "dead" && t.Node != "" {
			row := taskRow{Trace: t}
			if p, err := s.read.Project(ctx, t.Task.Project); err == nil {
				row.Path = JobPath(p, t.Task.Number)
			} else if !hidden(err) {
				return b, err
			}
			on[t.Node] = append(on[t.Node], row)
		}
	}
	for _, n := range state.Nodes {
		b.Rows = append(b.Rows, nodeRow{Node: n, Tasks: on[n.Name]})
	}
	return b, nil
}

// node serves one machine and what it runs.
func (s *site) node(w http.ResponseWriter, r *http.Request) error {
	b, err := s.nodesBody(r)
	if err != nil {
		return err
	}
	id := r.PathValue("node")
	for _, row := range b.Rows {
		if row.ID == id || row.Name == id {
			b.Rows, b.One, b.notice = []nodeRow{row}, true, noticeOf(r)
			return s.render(w, r, http.StatusOK, "nodes", view{
				Title: show(row.Name), Refresh: 5, Body: b, Crumbs: []crumb{{"Nodes", "/nodes"}, {show(row.Name), ""}},
			})
		}
	}
	return ci.ErrNotFound
}

// changeNode starts or ends a drain.
func (s *site) changeNode(w http.ResponseWriter, r *http.Request) error {
	ops := s.cfg.Queue.Operations
	if ops == nil {
		return absent{"view of its nodes"}
	}
	if err := form(w, r); err != nil {
		return err
	}
	var on bool
	word := "undrained"
	switch r.PostForm.Get("do") {
	case "drain":
		on, word = true, "drained"
	case "ready":
	default:
		return ci.ErrNotFound
	}
	if _, err := ops.DrainNode(r.Context(), r.PostForm.Get("node"), on, 0, actorOf(r)); err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		return s.showNodes(w, r, n.Problem.Code, n)
	}
	done(w, "/nodes", word)
	return nil
}
