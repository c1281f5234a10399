package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
			if pl != nil {
				logs[pl.log] = true
			}
		}
	}
	for _, f := range files {
		if name := filepath.Join(c.dir, f.Name()); strings.HasPrefix(f.Name(), "agent-") && strings.HasSuffix(name, ".log") && !logs[name] {
			_ = os.Remove(name)
		}
	}
	return nil
}

// write notes who has the placement, in the file of the process. It takes one
// write, so a server that is killed leaves the old record or the new one; and
// no file has to be made, which costs far more.
func (c *Cluster) write(pl *place, a *process) error {
	r := record{PID: a.pid(), Birth: a.birth, Log: filepath.Base(pl.log), From: pl.from, Placement: pl.Placement}
	data, err := json.Marshal(r)
	if err == nil {
		err = a.note(data)
	}
	if err != nil {
		return fmt.Errorf("record agent: %w", err)
	}
	pl.record, a.noted = a.record.Name(), pl
	return nil
}

// note replaces what is in the record. Blanks behind it hide what is left of
// an older one.
func (a *process) note(data []byte) error {
	a.length = max(a.length, len(data))
	_, err := a.record.WriteAt(append(data, bytes.Repeat([]byte(" "), a.length-len(data))...), 0)
	return err
}

// strike removes the record of a place that is forgotten. The record of a
// living process stays for the next placement.
func (pl *place) strike() {
	switch a := pl.agent.(type) {
	case *process:
		if a.noted != pl {
			return // it is about another placement by now
		}
		a.noted = nil
		if a.ended {
			a.unrecord()
		} else {
			_ = a.note(nil)
		}
	default:
		_ = os.Remove(pl.record)
	}
}

// unrecord removes the record of a process that has ended.
func (a *process) unrecord() {
	_ = a.record.Close()
	_ = os.Remove(a.record.Name())
}

// adopt takes over an agent that an earlier server has left, dead or alive.
func (c *Cluster) adopt(file string) (*place, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 { // its agent had nothing to do
		return nil, os.Remove(file)
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
