package vmservice

import (
	"context"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Model is what machines of one kind have in common. Machines of one Model
// can stand in for each other.
type Model struct {
	Kind  ci.MachineKind `json:"kind"`
	Class string         `json:"class"`
	Image string         `json:"image,omitempty"` // "" is the driver's default
	Arch  string         `json:"arch,omitempty"`  // "" is amd64
}

// Boot is what a new machine is given.
type Boot struct {
	// Tags mark the machine and all that is made with it. They hold those of
	// the installation, see [TagInstall].
	Tags map[string]string
	// User may log in by SSH with the private half of AuthorizedKey.
	User          string
	AuthorizedKey string
	// Report is where the machine posts its host key, once, with Token in the
	// header Rondo-Token; "" for drivers that learn it by themselves.
	Report, Token string
	// Life is after how long the machine ends by itself, whatever happens to
	// its owner.
	Life time.Duration
	// Zone is where the machine must be, to reach a volume; "" is anywhere.
	Zone string
}

// The tags that every machine and volume of ours carries.
const (
	TagInstall = "rondo-install" // the installation
	TagKey     = "rondo-key"     // the key under which it was created
	TagProject = "rondo-project" // of a volume: whose it is
	TagTrust   = "rondo-trust"   // of a volume: the tier
)

// A MachineState says what a provider knows of a machine.
type MachineState string

// The states of machines at a provider.
const (
	MachineBooting MachineState = "booting"
	MachineRunning MachineState = "running" // the provider has started it; its SSH may not answer yet
	MachineEnding  MachineState = "ending"
	MachineGone    MachineState = "gone" // listed by some providers for a while
)

// A Machine is a machine as its provider describes it.
type Machine struct {
	ID    string       `json:"id"`  // the provider's
	Key   string       `json:"key"` // under which it was created
	Model Model        `json:"model"`
	State MachineState `json:"state"`
	// Why says how it ended, in the provider's words.
	Why     string            `json:"why,omitempty"`
	Zone    string            `json:"zone,omitempty"`
	Address string            `json:"address,omitempty"`  // host:port of SSH, once known
	HostKey string            `json:"host_key,omitempty"` // as in authorized_keys; "" until known
	Tags    map[string]string `json:"tags,omitempty"`
	Created time.Time         `json:"created"`
}

// A Driver boots machines. Suite vmservicetest says what it must do. All
// methods are safe for concurrent use. Errors are of type [*Fault] where their
// cause is known.
type Driver interface {
	// Create starts a machine and returns before it has booted. The same key
	// again is the same machine, also when the first answer was lost.
	Create(ctx context.Context, key string, m Model, b Boot) (Machine, error)
	// List returns all machines with the tag of the installation, those of the
	// last minute possibly missing.
	List(ctx context.Context) ([]Machine, error)
	// Destroy ends a machine for good. Twice, and an unknown one, is no error.
	Destroy(ctx context.Context, id string) error
}

// A Volume is a disk for Docker layers, as its provider describes it.
type Volume struct {
	ID      string            `json:"id"`
	Key     string            `json:"key"`
	GB      int               `json:"gb"`
	Zone    string            `json:"zone,omitempty"`
	State   VolumeState       `json:"state"`
	Machine string            `json:"machine,omitempty"` // the ID of the machine that has it
	Tags    map[string]string `json:"tags,omitempty"`
	Created time.Time         `json:"created"`
}

// A VolumeState says what a provider knows of a volume.
type VolumeState string

// The states of volumes at a provider.
const (
	VolumeCreating  VolumeState = "creating"
	VolumeFree      VolumeState = "free"
	VolumeAttaching VolumeState = "attaching"
	VolumeAttached  VolumeState = "attached"
	VolumeDetaching VolumeState = "detaching"
	VolumeBroken    VolumeState = "broken"
)

// Volumes is the optional power of a [Driver] to keep volumes. All methods are
// safe for concurrent use.
type Volumes interface {
	// CreateVolume makes an empty volume. The same key again is the same one.
	CreateVolume(ctx context.Context, key string, gb int, zone string, tags map[string]string) (Volume, error)
	// Volumes lists those with the tag of the installation.
	Volumes(ctx context.Context) ([]Volume, error)
	// Attach gives a free volume to a running machine and returns the path of
	// the device there, once the machine has it. Again for the same machine is
	// no error; one that another machine has is [ci.ErrConflict].
	Attach(ctx context.Context, volume, machine string) (device string, err error)
	// Detach takes it back; force does not wait for the machine. A free one is
	// no error.
	Detach(ctx context.Context, volume string, force bool) error
	// DestroyVolume removes a free volume. Twice, and an unknown one, is no
	// error.
	DestroyVolume(ctx context.Context, id string) error
}

// Access is how the service itself enters a machine.
type Access struct {
	User string
	Key  string // private, OpenSSH form
}

// A Guest does what has to be done inside of machines, over SSH. Package guest
// has the real one. All methods are safe for concurrent use.
type Guest interface {
	// Probe returns nil when the machine can take a job, and why not otherwise.
	Probe(ctx context.Context, m Machine, a Access) error
	// ServeDocker makes the machine's engine serve by mutual TLS, with fresh
	// certificates of its own, and returns the client's. It is called when the
	// machine is ready, before any task has it: the engine goes on serving
	// through Mount.
	ServeDocker(ctx context.Context, m Machine, a Access) (ci.DockerAccess, error)
	// Mount puts the layers of the volume at device under the machine's Docker
	// engine. It formats an empty one, and wipes one whose marker on the disk
	// does not name this owner.
	Mount(ctx context.Context, m Machine, a Access, device, owner string) (Layers, error)
	// Unmount stops the engine, removes what is not a layer, and leaves the
	// volume ready to be detached.
	Unmount(ctx context.Context, m Machine, a Access) (Layers, error)
}

// Layers say what a volume holds.
type Layers struct {
	Images int    `json:"images"`
	Bytes  int64  `json:"bytes"`
	Engine string `json:"engine,omitempty"` // version of the Docker engine
	Fresh  bool   `json:"fresh,omitempty"`  // was empty, or was wiped
}
