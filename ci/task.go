package ci

import "time"

// A Task is one parallel slice of a job: the unit that is queued, placed on a
// node and run by an agent.
type Task struct {
	ID       TaskID     `json:"id"`
	Job      JobID      `json:"job"`
	Name     string     `json:"name"`   // of the job
	Number   int64      `json:"number"` // of the job, per project
	Workflow WorkflowID `json:"workflow"`
	Pipeline PipelineID `json:"pipeline"`
	Project  ProjectID  `json:"project"`
	Org      string     `json:"org"`
	Repo     string     `json:"repo,omitempty"`
	// Index counts from 0 to Total-1.
	Index    int          `json:"index"`
	Total    int          `json:"total"`
	Class    string       `json:"class,omitempty"` // resource class; "" is the default
	Executor ExecutorKind `json:"executor"`
	// Queued is when the job became ready.
	Queued time.Time `json:"queued"`
}

// Slice returns slice index of the job that the task belongs to.
func (t Task) Slice(index int) Task {
	t.Index, t.ID = index, t.Job.Task(index)
	return t
}

// A Ticket is a task's place in the queue, as the scheduler keeps it in the
// database until the task ends.
type Ticket struct {
	Task  Task        `json:"task"`
	State TicketState `json:"state"`
	// Epoch counts the hand-outs of the task; it grows by one with each and
	// never goes back. 0 means that it was never handed out.
	Epoch int64 `json:"epoch,omitempty"`
	// Node and Worker are where it runs and who claimed it.
	Node   string `json:"node,omitempty"`
	Worker string `json:"worker,omitempty"`
	// Expires is when the lease ends unless it is renewed.
	Expires time.Time `json:"expires,omitzero"`
	// Canceled says that the task is to be stopped.
	Canceled bool `json:"canceled,omitempty"`
}

// A TicketState says how far a task has come.
type TicketState string

// The states of tickets, in order.
const (
	TicketWaiting TicketState = "waiting" // in the usage queue or the run queue
	TicketPlaced  TicketState = "placed"  // handed to the cluster, not yet claimed
	TicketLeased  TicketState = "leased"  // an agent holds it
)

// A Lease is an agent's right to one task. All that the agent writes carries
// it; a write under a lease that is no longer current gets [ErrConflict], and
// the agent must stop at once.
type Lease struct {
	Task   TaskID `json:"task"`
	Epoch  int64  `json:"epoch"`
	Worker string `json:"worker"`
	// TTL is how long the lease holds from the reply that carried it, and
	// Renew is how often the agent should ask again. The agent counts both on
	// its own boot-time clock and stops by itself when 9/11 of TTL have passed
	// without a good answer.
	TTL   time.Duration `json:"ttl"`
	Renew time.Duration `json:"renew"`
	// Canceled asks the agent to stop with grace: it ends the running step,
	// runs the steps that always run, and finishes as [Canceled].
	Canceled bool `json:"canceled,omitempty"`
}

// A Report is what became of a task, as the scheduler or the agent tells it.
type Report struct {
	Workflow WorkflowID `json:"workflow"`
	Task     TaskID     `json:"task"`
	Epoch    int64      `json:"epoch"`
	Status   Status     `json:"status"`
	// Reason is one sentence for people; it is empty when all went well.
	Reason string `json:"reason,omitempty"`
	Node   string `json:"node,omitempty"`
	// Started is when an agent took the task; zero is the time of the report.
	// The end of a short task may be told before its start.
	Started time.Time `json:"started,omitzero"`
}

// A Reason says why a task waits.
type Reason struct {
	// Code is stable, for programs: "usage_limit", "capacity", "class_too_big",
	// "no_nodes", "draining", "placed", ...
	Code string `json:"code"`
	// Text is one sentence for people.
	Text string `json:"text"`
	// Position counts from 1 in the queue named by Code; 0 is not in a queue.
	Position int `json:"position,omitempty"`
	// Starts is the predicted start; zero when there is no telling.
	Starts time.Time `json:"starts,omitzero"`
}

// Work is all that an agent needs to run a task.
type Work struct {
	Lease    Lease      `json:"lease"`
	Task     Task       `json:"task"`
	Job      PlannedJob `json:"job"`
	Workflow string     `json:"workflow"` // its name
	Pipeline Pipeline   `json:"pipeline"`
	Project  Project    `json:"project"`
	// Environment is that of project and contexts, weakest first. The built-in
	// CIRCLE_ variables are the agent's to add.
	Environment []Var `json:"environment,omitempty"`
	// SSHKeys are the project's keys.
	SSHKeys []SSHKey `json:"ssh_keys,omitempty"`
	// Roots are certificates (PEM) that steps are to trust besides those of
	// their system.
	Roots string `json:"roots,omitempty"`
	// Refused says why the task may not run at all: the agent does nothing and
	// finishes it as [Unauthorized].
	Refused string `json:"refused,omitempty"`
	// Machine says that the steps run on a machine of the task's own, and on
	// which kind; nil is that they run where the agent is.
	Machine *MachineNeed `json:"machine,omitempty"`
	// Upstream are the tasks of all jobs that this one requires, directly or
	// not, in an order in which each stands behind those it requires itself.
	Upstream []Upstream `json:"upstream,omitempty"`
	// BuildURL is the job's page.
	BuildURL string `json:"build_url,omitempty"`
	// Previous is the number of the project's job before this one; 0 is none.
	Previous int64 `json:"previous,omitempty"`
}

// An Upstream is a task whose workspace layers a job inherits.
type Upstream struct {
	Task  TaskID `json:"task"`
	Epoch int64  `json:"epoch"`
	Job   string `json:"job"` // name
	// After are the names of the jobs that Job requires, directly or not.
	After []string `json:"after,omitempty"`
}

// An SSHKey is a private key that a project gives to its jobs.
type SSHKey struct {
	Fingerprint string `json:"fingerprint"` // SHA256:... form
	MD5         string `json:"md5,omitempty"`
	Host        string `json:"host,omitempty"` // "" is every host
	Private     string `json:"private"`        // PEM
}
