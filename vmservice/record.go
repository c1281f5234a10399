package vmservice

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The kinds of documents.
const (
	kindMachine = "machine"       // one that may exist at the provider
	kindKey     = "machine-key"   // its secrets, sealed
	kindPast    = "machine-past"  // one that is gone, for the ledger
	kindVolume  = "layer-volume"  // of Docker layers
	kindPool    = "machine-pool"  // what operators have decided
	poolDoc     = "pool"          // its only one
	scopeIdle   = "idle"          // machines without a task
	scopeTask   = "task"          // machines with one, by the task's name: never two
	namePrefix  = "task/"         // of volumes that a task has
	day         = 24 * time.Hour  // of budgets and defaults
	maxBackoff  = 1 * time.Minute // of what is tried again
)

// Kinds are the kinds of documents with a sealed part.
func Kinds() []string { return []string{kindKey} }

// A State says how far a machine of the pool has come.
type State string

// The states of machines, in order.
const (
	Asked   State = "asked"   // the intent is written, the provider is asked
	Booting State = "booting" // it exists, and does not take tasks yet
	Ready   State = "ready"
	Claimed State = "claimed" // a task has it, or is about to
	Ending  State = "ending"  // until the provider has let it go
	Gone    State = "gone"
)

// A Record is what the pool knows of a machine.
type Record struct {
	Key      string `json:"key"`          // ours: it is written before the provider is asked
	ID       string `json:"id,omitempty"` // the provider's
	Provider string `json:"provider,omitempty"`
	Model    Model  `json:"model"`
	State    State  `json:"state"`
	Zone     string `json:"zone,omitempty"`
	// The task that has it, and under which epoch.
	Task    ci.TaskID    `json:"task,omitempty"`
	Epoch   int64        `json:"epoch,omitempty"`
	Project ci.ProjectID `json:"project,omitempty"`
	Trust   string       `json:"trust,omitempty"`
	// Delivered says that everything is as the task needs it.
	Delivered bool     `json:"delivered,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	// Volume is the key of that with the layers, Mounted that the task sees
	// them and Unmounted that it was taken out in order.
	Volume    string `json:"volume,omitempty"`
	Mounted   bool   `json:"mounted,omitempty"`
	Unmounted bool   `json:"unmounted,omitempty"`
	// AuthorizedKey is the public half of the key to it, Address and HostKey
	// are where it answers and as whom.
	AuthorizedKey string `json:"authorized_key,omitempty"`
	Address       string `json:"address,omitempty"`
	HostKey       string `json:"host_key,omitempty"`
	// Serves says that its Docker engine serves others.
	Serves bool    `json:"serves,omitempty"`
	VCPUs  int     `json:"vcpus,omitempty"`
	Price  float64 `json:"price,omitempty"` // of an hour
	// Why says why it ends.
	Why     string    `json:"why,omitempty"`
	Asked   time.Time `json:"asked_at"`
	Ready   time.Time `json:"ready_at,omitzero"`
	Claimed time.Time `json:"claimed_at,omitzero"`
	Ending  time.Time `json:"ending_at,omitzero"`
	Ended   time.Time `json:"ended_at,omitzero"`
}

// secrets are what of a machine is sealed.
type secrets struct {
	Key    string           `json:"key"`   // private, OpenSSH form
	Token  string           `json:"token"` // to post the host key with
	Docker *ci.DockerAccess `json:"docker,omitempty"`
}

// A VolumeRecord is what the pool knows of a volume.
type VolumeRecord struct {
	Key      string       `json:"key"`
	ID       string       `json:"id,omitempty"`
	Provider string       `json:"provider,omitempty"`
	Project  ci.ProjectID `json:"project"`
	Trust    string       `json:"trust"`
	Arch     string       `json:"arch"`
	Format   string       `json:"format"`
	GB       int          `json:"gb"`
	Zone     string       `json:"zone,omitempty"`
	State    LayerState   `json:"state"`
	// Task has it, on the machine of that key.
	Task    ci.TaskID `json:"task,omitempty"`
	Machine string    `json:"machine,omitempty"`
	// Doomed says that it is removed when it is free, and why.
	Doomed string `json:"doomed,omitempty"`
	// Wipes counts how often it was not let go in order: what is on it then is
	// not trusted, and its marker no longer matches.
	Wipes   int       `json:"wipes,omitempty"`
	Uses    int       `json:"uses"`
	Layers  Layers    `json:"layers"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
	// Returning is since when it should be free.
	Returning time.Time `json:"returning,omitzero"`
}

// A LayerState says what a volume is doing.
type LayerState string

// The states of volumes in the pool.
const (
	LayersFree      LayerState = "free"
	LayersUsed      LayerState = "used"
	LayersReturning LayerState = "returning" // until the provider says that it is free
)

// affinity is who may use a volume: nobody else ever does.
func (v VolumeRecord) affinity() string { return affinity(v.Project, v.Trust, v.Arch) }

func affinity(p ci.ProjectID, trust, arch string) string {
	return fmt.Sprintf("%s|%s|%s|%s", p, trust, arch, layerFormat)
}

// owner is the marker on the disk.
func (v VolumeRecord) owner() string {
	if v.Wipes == 0 {
		return v.affinity()
	}
	return fmt.Sprintf("%s|%d", v.affinity(), v.Wipes)
}

// doc returns the machine as a document. That of a task is named after it, so
// that the database refuses a second machine for it.
func (r Record) doc(now time.Time) (ci.Doc, error) {
	body, err := json.Marshal(r)
	d := ci.Doc{Kind: kindMachine, ID: r.Key, Scope: scopeIdle, Body: body, Updated: now}
	if r.State == Claimed {
		d.Scope, d.Name = scopeTask, string(r.Task)
	}
	return d, err
}

// past returns the document of a machine that is gone.
func (r Record) past(keep time.Duration) (ci.Doc, error) {
	body, err := json.Marshal(r)
	scope := string(r.Task)
	if scope == "" {
		scope = scopeIdle
	}
	return ci.Doc{
		Kind: kindPast, ID: r.Key, Scope: scope, Name: r.Ended.UTC().Format("20060102T150405.000") + " " + r.Key,
		Body: body, Due: r.Ended.Add(keep), Updated: r.Ended,
	}, err
}

// doc returns the volume as a document. Its scope is who may use it and its
// name who does, so that the database refuses a second one for a task, and
// knows none of one project for a task of another.
func (v VolumeRecord) doc(now time.Time) (ci.Doc, error) {
	body, err := json.Marshal(v)
	d := ci.Doc{Kind: kindVolume, ID: v.Key, Scope: v.affinity(), Name: "free/" + v.Key, Body: body, Updated: now}
	if v.State == LayersUsed {
		d.Name = namePrefix + string(v.Task)
	}
	return d, err
}
