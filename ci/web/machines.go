package web

import (
	"context"
	"net/http"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Machines are the machines that are made for single tasks, and the volumes
// with their Docker layers. All functions refuse who is no operator; without
// them there is no page.
type Machines struct {
	View  func(ctx context.Context, by ci.Actor) (MachineView, error)
	Drain func(ctx context.Context, on bool, by ci.Actor) error
	// End ends a machine, by its key, whoever has it.
	End func(ctx context.Context, key string, by ci.Actor) error
	// Purge removes the layers of a project; those in use go when they are free.
	Purge func(ctx context.Context, project ci.ProjectID, by ci.Actor) error
	// Reconcile compares the books with what there is, and sets right what differs.
	Reconcile func(ctx context.Context, by ci.Actor) error
}

// A MachineView is what there is of them at one moment.
type MachineView struct {
	Drained bool
	Alarms  []string // what somebody should act upon
	Rows    []MachineRow
	Volumes []VolumeRow
	// Today is what machines have cost today, in the currency of the settings;
	// 0 when these name no prices.
	Today float64
	// Hits, Fresh and Without say how builds that wanted their layers fared.
	Hits, Fresh, Without int
}

// A MachineRow is a machine that may exist.
type MachineRow struct {
	Key, ID, Kind, Class, Zone string
	State, Task, Why           string
	Since                      time.Time
}

// A VolumeRow is a volume with the Docker layers of one project; Slug is that
// project's, "" if it is gone.
type VolumeRow struct {
	Key, ID, Project, Slug, Trust, State string
	GB                                   int
	Used                                 time.Time
}

// machinesBody is what the page of machines shows.
type machinesBody struct {
	notice
	MachineView
}

// Never is when a machine that is there has ended.
func (machinesBody) Never() time.Time { return time.Time{} }

// Count returns how many machines are in a state.
func (b machinesBody) Count(state string) int {
	n := 0
	for _, row := range b.Rows {
		if row.State == state {
			n++
		}
	}
	return n
}

// Look returns how the state of a machine is shown.
func (m MachineRow) Look() look {
	l := lookOf(ci.Queued)
	switch m.State {
	case "ready":
		l = lookOf(ci.Success)
	case "claimed":
		l = lookOf(ci.Running)
	case "ending":
		l = lookOf(ci.Canceled)
	}
	l.Word = show(m.State)
	return l
}

// machines serves the machines of single tasks.
func (s *site) machines(w http.ResponseWriter, r *http.Request) error {
	return s.showMachines(w, r, http.StatusOK, noticeOf(r))
}

func (s *site) showMachines(w http.ResponseWriter, r *http.Request, code int, n notice) error {
	room := s.cfg.Queue.Machines
	if room.View == nil {
		return absent{"pool of machines"}
	}
	v, err := room.View(r.Context(), actorOf(r))
	if err != nil {
		return err
	}
	page := view{Title: "Machines", Body: machinesBody{n, v}}
	if n.Done == "" && n.Problem == nil {
		page.Refresh = 5
	}
	return s.render(w, r, code, "machines", page)
}

// changeMachines does what operators do to machines and layers.
func (s *site) changeMachines(w http.ResponseWriter, r *http.Request) error {
	room := s.cfg.Queue.Machines
	if room.View == nil {
		return absent{"pool of machines"}
	}
	if err := form(w, r); err != nil {
		return err
	}
	ctx, by := r.Context(), actorOf(r)
	var err error
	var word string
	switch r.PostForm.Get("do") {
	case "drain":
		err, word = room.Drain(ctx, true, by), "pool-drained"
	case "ready":
		err, word = room.Drain(ctx, false, by), "pool-given"
	case "end":
		err, word = room.End(ctx, r.PostForm.Get("machine"), by), "machine-ended"
	case "purge":
		err, word = room.Purge(ctx, ci.ProjectID(r.PostForm.Get("project")), by), "layers-purged"
	case "reconcile":
		err, word = room.Reconcile(ctx, by), "pool-reconciled"
	default:
		return ci.ErrNotFound
	}
	if err != nil {
		n, ok := refused(err, r.PostForm)
		if !ok {
			return err
		}
		return s.showMachines(w, r, n.Problem.Code, n)
	}
	done(w, "/admin/machines", word)
	return nil
}
