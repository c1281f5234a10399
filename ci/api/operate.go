package api

import (
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// nodeRoutes are the operations on the machines and on what runs there.
func nodeRoutes() []route {
	const placement = "/rondo/placements/{placement_id}"
	return []route{
		{
			method: "GET", path: "/rondo/nodes", summary: "The nodes, by name, those that left among them", tag: "Rondo",
			query:  []string{"state: ready (or active), draining or down"},
			status: 200, response: page[ci.Node]{}, serve: (*call).listNodes,
		}, {
			method: "GET", path: "/rondo/nodes/{node}", summary: "A node, by name, identity or the beginning of one", tag: "Rondo",
			status: 200, response: ci.Node{}, serve: (*call).getNode,
		}, {
			method: "POST", path: "/rondo/nodes/{node}/drain", summary: "Let a node take nothing new, or let it take tasks again", tag: "Rondo",
			status: 200, request: drainRequest{}, response: ci.Node{}, serve: (*call).drainNode,
		}, {
			method: "GET", path: "/rondo/placements", summary: "The jobs of the cluster, one for each parallel node of a build: all that run, 1000 that wait, 1000 that have ended", tag: "Rondo",
			query:  []string{"status: pending, running or dead", "node: name of a node"},
			status: 200, response: page[ci.Trace]{}, serve: (*call).listPlacements,
		}, {
			method: "GET", path: placement, summary: "A job of the cluster, and why it does not run", tag: "Rondo",
			status: 200, response: ci.Explanation{}, serve: (*call).getPlacement,
		}, {
			method: "GET", path: placement + "/output", summary: "What the agent of a job has written itself", tag: "Rondo",
			query:  []string{"stderr: true for standard error, where agents write"},
			status: 200, serve: (*call).placementOutput,
		}, {
			method: "GET", path: "/rondo/services", summary: "What the installation is made of, as the guide names it", tag: "Rondo",
			status: 200, response: page[ci.Service]{}, serve: (*call).listServices,
		},
	}
}

// listedWaiting is how many tasks that wait are listed with the hand-outs.
const listedWaiting = 1000

// drainRequest starts or ends a drain. The deadline is a duration, as in "1h30m".
type drainRequest struct {
	On       bool   `json:"on"`
	Deadline string `json:"deadline,omitempty"`
}

// operations returns the chapter, or that there is none.
func (c *call) operations() (ci.Operations, error) {
	if c.cfg.Chapters.Operations == nil {
		return nil, absent("view of its queue and nodes")
	}
	return c.cfg.Chapters.Operations, nil
}

// nodes lists the nodes.
func (c *call) nodes() ([]ci.Node, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	s, err := ops.State(c.r.Context(), c.by)
	return s.Nodes, err
}

func (c *call) listNodes() (any, error) {
	all, err := c.nodes()
	if err != nil {
		return nil, err
	}
	state := c.r.URL.Query().Get("state")
	switch state {
	case "", "ready", "draining", "down":
	case "active": // as the guide says it
		state = "ready"
	default:
		return nil, refuse(http.StatusBadRequest, "state is ready, active, draining or down.")
	}
	if state != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(n ci.Node) bool { return n.State != state })
	}
	return pageOf(all, nil), nil
}

func (c *call) getNode() (any, error) {
	all, err := c.nodes()
	if err != nil {
		return nil, err
	}
	return nodeOf(all, c.r.PathValue("node"))
}

// nodeOf finds a node by name, identity or the beginning of one.
func nodeOf(all []ci.Node, name string) (ci.Node, error) {
	var found []ci.Node
	var names []string
	for _, n := range all {
		if n.Name == name || n.ID == name {
			return n, nil
		}
		if strings.HasPrefix(n.ID, name) {
			found = append(found, n)
		}
		names = append(names, n.Name)
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return ci.Node{}, refuse(http.StatusNotFound, "There is no node "+strconv.Quote(name)+"; there are: "+strings.Join(names, ", "))
}

func (c *call) drainNode() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	var req drainRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	var deadline time.Duration
	if req.Deadline != "" {
		if deadline, err = time.ParseDuration(req.Deadline); err != nil {
			return nil, refuse(http.StatusBadRequest, "deadline must be a duration, as in 1h30m.")
		}
	}
	all, err := c.nodes()
	if err != nil {
		return nil, err
	}
	n, err := nodeOf(all, c.r.PathValue("node"))
	if err != nil {
		return nil, err
	}
	return ops.DrainNode(c.r.Context(), n.ID, req.On, deadline, c.by)
}

func (c *call) listPlacements() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	status, node := q.Get("status"), q.Get("node")
	if status != "" && !slices.Contains([]string{"pending", "running", "dead"}, status) {
		return nil, refuse(http.StatusBadRequest, "status is pending, running or dead.")
	}
	waiting := listedWaiting
	if node != "" || status == "running" || status == "dead" {
		waiting = 0
	}
	all, err := ops.Traces(c.r.Context(), waiting, c.by)
	if err != nil {
		return nil, err
	}
	return pageOf(slices.DeleteFunc(all, func(t ci.Trace) bool {
		return status != "" && t.State != status || node != "" && t.Node != node
	}), nil), nil
}

// placement returns the hand-out of the address: by its ID, its allocation, its
// task, or the beginning of an ID or allocation. If that fits several slices or
// hand-outs of one job, one of them is taken at random, as the guide says.
func (c *call) placement(ops ci.Operations) (ci.Trace, error) {
	all, err := ops.Traces(c.r.Context(), listedWaiting, c.by)
	if err != nil {
		return ci.Trace{}, err
	}
	name := c.r.PathValue("placement_id")
	var begin []ci.Trace
	for _, t := range slices.Backward(all) {
		if t.ID == name || t.Allocation == name || string(t.Task.ID) == name {
			return t, nil
		}
		if len(name) >= 4 && (strings.HasPrefix(t.ID, name) || strings.HasPrefix(t.Allocation, name)) {
			begin = append(begin, t)
		}
	}
	if len(begin) == 0 {
		return ci.Trace{}, refuse(http.StatusNotFound, "There is no job or allocation "+strconv.Quote(name)+"; rondo nomad status lists what there is.")
	}
	for _, t := range begin {
		if t.Task.Job != begin[0].Task.Job {
			return ci.Trace{}, refuse(http.StatusConflict, "Several jobs begin with "+strconv.Quote(name)+"; give more of it.")
		}
	}
	return begin[rand.N(len(begin))], nil
}

func (c *call) getPlacement() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	t, err := c.placement(ops)
	if err != nil {
		return nil, err
	}
	x, err := ops.Explain(c.r.Context(), t.Task.ID, c.by)
	if err != nil {
		return nil, named(err, "Task")
	}
	if x.Epoch != t.Epoch { // an earlier hand-out, of which only this is known
		return ci.Explanation{Trace: t, Hops: []ci.Hop{}, BuildURL: x.BuildURL, Why: ci.Reason{Code: "ended", Text: "This hand-out has ended: " + t.Reason + "."}}, nil
	}
	return x, nil
}

func (c *call) placementOutput() (any, error) {
	ops, err := c.operations()
	if err != nil {
		return nil, err
	}
	t, err := c.placement(ops)
	if err != nil {
		return nil, err
	}
	stderr := c.r.URL.Query().Get("stderr") == "true"
	r, err := ops.AgentOutput(c.r.Context(), t, stderr, c.by)
	if err != nil {
		if stderr {
			return nil, named(err, "Output of "+t.ID)
		}
		return nil, named(err, "Standard output of "+t.ID)
	}
	defer r.Close()
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.Header().Set("X-Allocation", t.Allocation)
	c.w.Header().Set("X-Job", t.ID)
	out := newStream(c.w)
	defer out.close()
	if _, err = io.Copy(out, io.LimitReader(r, 4<<20)); err != nil {
		return written, cutOff(c.w, err)
	}
	return written, nil
}

func (c *call) listServices() (any, error) {
	if c.cfg.Chapters.Services == nil {
		return nil, absent("list of its services")
	}
	all, err := c.cfg.Chapters.Services(c.r.Context(), c.by)
	return pageOf(all, nil), err
}
