package vmservice

import (
	"cmp"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Status is how the pool is, at one moment.
type Status struct {
	// Ready is whether the records have been read.
	Ready    bool   `json:"ready"`
	Provider string `json:"provider,omitempty"`
	// Off says why there are no machines although there should be.
	Off     string `json:"off,omitempty"`
	Drained bool   `json:"drained"`
	Lines   []Line `json:"lines"`
	// Alarms are what somebody should act upon, one sentence each.
	Alarms []string `json:"alarms,omitempty"`
	Counts Counts   `json:"counts"`
	// Today is what machines have cost today, and Hour what those that there
	// are cost an hour.
	Today float64 `json:"today"`
	Hour  float64 `json:"hour"`
	// Volumes and GB are those of layers.
	Volumes int `json:"volumes"`
	GB      int `json:"gb"`
}

// A Line is what the pool has of one model.
type Line struct {
	Model   Model `json:"model"`
	Floor   int   `json:"floor"`
	Spare   int   `json:"spare"` // that the forecast wants, at least the floor
	Waiting int   `json:"waiting"`
	Booting int   `json:"booting"`
	Ready   int   `json:"ready"`
	Claimed int   `json:"claimed"`
	// Boot is what a machine takes on average, in seconds.
	Boot float64 `json:"boot_average"`
}

// Status returns how the pool is now.
func (p *Pool) Status() Status {
	counts := p.Counts()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock()
	s := Status{Ready: p.loaded, Provider: p.cfg.Boot.Provider, Drained: p.drained, Counts: counts, Volumes: p.used[""].volumes, GB: p.used[""].gb, Alarms: p.alarms(now)}
	for _, l := range p.lines {
		s.Lines = append(s.Lines, Line{
			Model: l.model, Floor: l.floor, Spare: l.spare(now, p.cfg.Boot.Fixed), Waiting: len(l.waiting), Booting: l.coming,
			Ready: len(l.ready), Claimed: l.working, Boot: l.average().Seconds(),
		})
	}
	slices.SortFunc(s.Lines, func(a, b Line) int { return cmp.Compare(fmt.Sprint(a.Model), fmt.Sprint(b.Model)) })
	for _, m := range p.machines {
		s.Hour += m.rec.Price
	}
	s.Today = p.spentToday(now)
	return s
}

// spentToday is what machines have cost today.
func (p *Pool) spentToday(now time.Time) float64 {
	today := now.UTC().Truncate(day)
	sum := 0.0
	if p.counts.day.Equal(today) {
		sum = p.counts.spent[""]
	}
	for _, m := range p.machines {
		from := m.rec.Asked
		if from.Before(today) {
			from = today
		}
		sum += m.rec.Price * max(now.Sub(from), 0).Hours()
	}
	return sum
}

// alarms are what somebody should act upon. The caller holds the lock.
func (p *Pool) alarms(now time.Time) []string {
	var all []string
	for kind, b := range p.breakers {
		if !b.told {
			continue
		}
		text := fmt.Sprintf("no more machines of kind %s: %s", kind, b.why)
		if b.setting != "" {
			text = fmt.Sprintf("setting %s: %s", b.setting, b.why)
		}
		all = append(all, text)
	}
	for _, m := range p.machines {
		if m.rec.State == Ending && now.Sub(m.rec.Ending) > stuckTime {
			all = append(all, fmt.Sprintf("machine %s (%s) has been ending for %s", m.rec.Key, m.rec.ID, now.Sub(m.rec.Ending).Round(time.Minute)))
		}
	}
	if p.look.fails >= 3 {
		all = append(all, "the provider does not answer: "+p.look.err)
	}
	slices.Sort(all)
	return all
}

// same compares secrets in the same time whatever they are.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// A Load is one row of what GET /load has always answered.
type Load struct {
	ImageName    string  `json:"image_name"`
	DockerEngine bool    `json:"docker_engine"` // of remote Docker
	Type         string  `json:"type"`          // the class
	VMCount      int     `json:"vm_count"`
	TaskCount    int     `json:"task_count"`
	BootAverage  float64 `json:"boot_average"`
}

// Load returns the rows of GET /load.
func (p *Pool) Load() []Load { return p.Status().load() }

func (s Status) load() []Load {
	all := []Load{}
	for _, l := range s.Lines {
		all = append(all, Load{
			ImageName: cmp.Or(l.Model.Image, "default"), DockerEngine: l.Model.Kind == ci.MachineForDocker, Type: l.Model.Class,
			VMCount: l.Booting + l.Ready + l.Claimed, TaskCount: l.Waiting + l.Claimed, BootAverage: l.Boot,
		})
	}
	return all
}
