package runner

import (
	"context"
	"time"

	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// An instance is an [Instance] on the wire.
type instance struct {
	Class    string  `json:"resource_class"`
	Hostname string  `json:"hostname"`
	Name     string  `json:"name"`
	First    *string `json:"first_connected"`
	Last     *string `json:"last_connected"`
	Used     *string `json:"last_used"`
	IP       string  `json:"ip"`
	Version  string  `json:"version"`
}

// stamp is a time on the wire, null when it is not set.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func (c *call) listInstances() (any, error) {
	n, classes, err := c.selected()
	if err != nil {
		return nil, err
	}
	var out []instance
	for _, d := range classes {
		if c.cfg.Instances == nil {
			break
		}
		name := n.Name + "/" + d.Name
		list, err := c.cfg.Instances(c.r.Context(), name)
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			out = append(out, instance{name, i.Hostname, i.Name, stamp(i.First), stamp(i.Last), stamp(i.Used), i.IP, i.Version})
		}
	}
	return pageOf(out), nil
}

// count asks one of the counting functions about the class of the address.
func (c *call) count(how func(ctx context.Context, class string) (int, error)) (int, error) {
	name := c.r.URL.Query().Get("resource-class")
	if name == "" {
		return 0, wire.Refuse(400, "Say which: resource-class is needed in the address.")
	}
	n, d, err := c.class(name, false)
	if err != nil {
		return 0, err
	}
	return how(c.r.Context(), n.Name+"/"+d.Name)
}

func (c *call) countUnclaimed() (any, error) {
	n, err := c.count(c.cfg.Unclaimed)
	return struct {
		Count int `json:"unclaimed_task_count"`
	}{n}, err
}

func (c *call) countRunning() (any, error) {
	n, err := c.count(c.cfg.Running)
	return struct {
		Count int `json:"running_runner_tasks"`
	}{n}, err
}
