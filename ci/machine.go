package ci

// A MachineKind says what a task wants a machine for.
type MachineKind string

// The kinds of machines, by the words of the guide's settings.
const (
	MachineForJob    MachineKind = "machine"       // the steps run on it
	MachineForDocker MachineKind = "remote_docker" // its Docker engine serves a job
)

// A MachineNeed is what a task asks of a pool of machines: a machine of its
// own, from now until the task ends.
type MachineNeed struct {
	Kind  MachineKind `json:"kind"`
	Class string      `json:"class,omitempty"` // resource class; "" is the default
	Image string      `json:"image,omitempty"` // "" is the installation's default
	// LayerCaching asks for the project's Docker layers of earlier jobs.
	LayerCaching bool `json:"layer_caching,omitempty"`
}

// A Machine is what a task gets for a [MachineNeed]. As long as it is not Ready,
// only Reason says something: why the task has to wait, for people.
type Machine struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
	ID     string `json:"id,omitempty"`
	// Address is host:port of its SSH server, User who logs in with the private
	// Key (OpenSSH form), and HostKey what the server must prove, as in a line
	// of authorized_keys.
	Address string `json:"address,omitempty"`
	User    string `json:"user,omitempty"`
	Key     string `json:"key,omitempty"`
	HostKey string `json:"host_key,omitempty"`
	// Docker is how a job reaches the machine's engine, for [MachineForDocker].
	Docker *DockerAccess `json:"docker,omitempty"`
	// Notes are what people should know, one line each: of the layer cache, say.
	Notes []string `json:"notes,omitempty"`
}

// DockerAccess is the way to a Docker engine by mutual TLS. All but Host is PEM.
type DockerAccess struct {
	Host string `json:"host"` // tcp://address:port
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}
