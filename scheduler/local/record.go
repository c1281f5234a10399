package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rondo-ci/rondo/scheduler"
)

// A record is what the next server needs to know of an agent.
type record struct {
	PID int `json:"pid"`
	// Birth tells the process apart from a later one with the same number.
	Birth     string              `json:"birth"`
	Log       string              `json:"log"` // file name
	From      int64               `json:"from"`
	Placement scheduler.Placement `json:"placement"`
}

// open makes the directory and reads the records in it.
func (c *Cluster) open() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.dir, err = filepath.Abs(c.cfg.Dir); c.cfg.Dir == "" {
		c.dir, err = os.MkdirTemp("", "rondo-agents-")
	}
	if err == nil {
		err = os.MkdirAll(c.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("directory of agents: %w", err)
	}
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("directory of agents: %w", err)
	}
	logs := make(map[string]bool)
	for _, f := range files {
		name := filepath.Join(c.dir, f.Name())
		switch {
		case strings.HasSuffix(name, ".tmp"):
			_ = os.Remove(name) // a record that was never finished
		case strings.HasSuffix(name, ".json"):
			pl, err := c.adopt(name)
			if err != nil {
				// Its placement is then missing, which the scheduler sees.
				c.log.Error("record of an agent cannot be read, it is removed", "file", name, "err", err)
				_ = os.Remove(name)
				continue
			}
			logs[pl.log] = true
		}
	}
	for _, f := range files {
		if name := filepath.Join(c.dir, f.Name()); strings.HasPrefix(f.Name(), "agent-") && strings.HasSuffix(name, ".log") && !logs[name] {
			_ = os.Remove(name)
		}
	}
	return nil
}

// write keeps a record of who has the placement.
func (c *Cluster) write(pl *place, pid int) error {
	r := record{PID: pid, Birth: birth(pid), Log: filepath.Base(pl.log), From: pl.from, Placement: pl.Placement}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record agent: %w", err)
	}
	pl.record = filepath.Join(c.dir, url.PathEscape(fmt.Sprintf("%s@%d", pl.Task.ID, pl.Epoch))+".json")
	if err := os.WriteFile(pl.record+".tmp", data, 0o600); err != nil {
		return fmt.Errorf("record agent: %w", err)
	}
	if err := os.Rename(pl.record+".tmp", pl.record); err != nil {
		return fmt.Errorf("record agent: %w", err)
	}
	return nil
}

// adopt takes over an agent that an earlier server has left, dead or alive.
func (c *Cluster) adopt(file string) (*place, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.PID < 2 || r.Birth == "" || r.Placement.Task.ID == "" || r.Log != filepath.Base(r.Log) {
		return nil, errors.New("it is not whole")
	}
	pl := &place{
		Placement: r.Placement, ready: make(chan struct{}), gone: make(chan struct{}),
		log: filepath.Join(c.dir, r.Log), from: r.From, record: file, agent: &adopted{r.PID, r.Birth},
	}
	close(pl.ready)
	pl.State, pl.Node = scheduler.PlacementRunning, c.cfg.Node
	c.add(pl)
	c.log.Info("agent of an earlier server", "pid", r.PID, "task", pl.Task.ID, "epoch", pl.Epoch, "alive", birth(r.PID) == r.Birth)
	return pl, nil
}

// An adopted agent is a process that is not our child.
type adopted struct {
	pid   int
	birth string
}

// alive reports whether the process is still that one.
func (a *adopted) alive() bool { return birth(a.pid) == a.birth }

func (a *adopted) stop() {
	if a.alive() {
		_ = syscall.Kill(a.pid, syscall.SIGTERM)
	}
}

func (a *adopted) kill() {
	if a.alive() {
		killGroup(a.pid)
	}
}

// visit finds the adopted agents that have ended.
func (c *Cluster) visit() {
	c.mu.Lock()
	var ended []*place
	for _, pl := range c.places {
		if a, ok := pl.agent.(*adopted); ok && pl.State != scheduler.PlacementDead && !a.alive() {
			ended = append(ended, pl)
		}
	}
	c.mu.Unlock()
	for _, pl := range ended {
		c.cfg.Sweep(pl.Task.ID, pl.Epoch)
		reason := fmt.Sprintf("agent process %d, which an earlier server had started, has ended", pl.agent.(*adopted).pid)
		if words := lastWords(pl.log, pl.from, ""); words != "" {
			reason += "; it said last: " + words
		}
		c.mu.Lock()
		c.dead(pl, reason)
		c.mu.Unlock()
	}
}

// missing reports whether an error says that a file is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
