package scheduler

import (
	"context"
	"log/slog"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Config holds what a [Scheduler] can do without. The zero Config works.
type Config struct {
	// Log receives what operators should know; nil is silent.
	Log *slog.Logger
	// Classes are the resource classes by name; nil is [DefaultClasses].
	Classes map[string]Resources
	// DefaultClass is that of a task that names none; "" is "medium".
	DefaultClass string
	// OrgLimit is how many tasks of one organisation run at once; 0 is no limit.
	OrgLimit int
	// Weight returns the share that a project has beside the others; nil, and
	// what is not above 0, is 1.
	Weight func(ci.ProjectID) float64
	// Elastic says that larger nodes may come: a class that no node can hold
	// waits for one instead of failing at once.
	Elastic bool
	// TTL is how long a lease holds without renewal; 0 is 5m30s. Renew is how
	// often agents renew it; 0 is 10s.
	TTL, Renew time.Duration
	// CancelGrace is how long a canceled task may take to end; 0 is 30s.
	CancelGrace time.Duration
	// Begun reports whether a step of that hand-out was ever about to start.
	// nil is always true: a lost task is never run again by itself.
	Begun func(ctx context.Context, task ci.TaskID, epoch int64) (bool, error)
	// Token makes the token of a hand-out; nil leaves it empty.
	Token func(task ci.TaskID, epoch int64) string
	// Poll is how often the cluster is asked for its nodes and placements, in
	// case its Watch missed something; 0 is 5s.
	Poll time.Duration
}

// withDefaults returns the configuration with every zero replaced.
func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Classes == nil {
		c.Classes = DefaultClasses()
	}
	if c.DefaultClass == "" {
		c.DefaultClass = "medium"
	}
	for value, standard := range map[*time.Duration]time.Duration{
		&c.TTL: 5*time.Minute + 30*time.Second, &c.Renew: 10 * time.Second,
		&c.CancelGrace: 30 * time.Second, &c.Poll: 5 * time.Second,
	} {
		if *value <= 0 {
			*value = standard
		}
	}
	if c.Token == nil {
		c.Token = func(ci.TaskID, int64) string { return "" }
	}
	if c.Begun == nil {
		c.Begun = func(context.Context, ci.TaskID, int64) (bool, error) { return true, nil }
	}
	return c
}

// weight returns the weight of a project.
func (c *Config) weight(p ci.ProjectID) float64 {
	if c.Weight != nil {
		if w := c.Weight(p); w > 0 {
			return w
		}
	}
	return 1
}
