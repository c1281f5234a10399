package ci

import "time"

// A Plan is a compiled configuration: what runs, in which order, with what.
// Everything is decided; no templates, parameters, conditions or filters are
// left in it, so whoever runs a plan needs no knowledge of the language it was
// written in. Workflows and jobs that the trigger's branch or tag filters out
// are not in it. Plans are immutable.
type Plan struct {
	Workflows []PlannedWorkflow `json:"workflows,omitempty"`
	// Schedules are the workflows that start by the clock instead.
	Schedules []Schedule `json:"schedules,omitempty"`
	// Setup says that this plan may be continued with a second configuration;
	// Key is then what its jobs need for that, and Continuation what they
	// gave. Compilers leave both to the [Server], as they do Before: in the
	// plan of a continued pipeline, that of its setup workflow.
	Setup        bool          `json:"setup,omitempty"`
	Key          string        `json:"key,omitempty"`
	Continuation *Continuation `json:"continuation,omitempty"`
	Before       *Plan         `json:"before,omitempty"`
	// Warnings are remarks on bad habits, one sentence each.
	Warnings []string `json:"warnings,omitempty"`
	// Source and Expanded are the configuration as written and as compiled
	// (YAML), for people to read.
	Source   string `json:"source,omitempty"`
	Expanded string `json:"expanded,omitempty"`
}

// Job returns the specification of the named job of the named workflow, and
// false when the plan has no such job.
func (p *Plan) Job(workflow, job string) (PlannedJob, bool) {
	for _, w := range p.Workflows {
		if w.Name != workflow {
			continue
		}
		for _, j := range w.Jobs {
			if j.Name == job {
				return j, true
			}
		}
	}
	return PlannedJob{}, false
}

// A PlannedWorkflow is one workflow of a plan. Its jobs have unique names and
// form a graph without cycles; the order is that of the source.
type PlannedWorkflow struct {
	Name string       `json:"name"`
	Jobs []PlannedJob `json:"jobs"`
}

// A PlannedJob is one job of a planned workflow.
type PlannedJob struct {
	Name     string        `json:"name"`
	Type     JobType       `json:"type,omitempty"`
	Requires []Requirement `json:"requires,omitempty"`
	// Contexts are the names of the secret collections the job asks for; later
	// ones win.
	Contexts []string `json:"contexts,omitempty"`
	// Refused says why the job may not run, when that is known before it is
	// its turn; the [Server] writes it.
	Refused string `json:"-"`
	JobSpec
}

// A JobType says what kind of job it is.
type JobType string

// The types of jobs.
const (
	JobBuild    JobType = ""         // runs steps
	JobApproval JobType = "approval" // waits for a person
	JobNoOp     JobType = "no-op"    // succeeds at once; a joint in the graph
)

// A Requirement is an edge of the graph: a job waits until the required job
// ends with one of the statuses. No statuses means [Success] only.
type Requirement struct {
	Job      string   `json:"job"`
	Statuses []Status `json:"statuses,omitempty"`
}

// A Schedule starts a workflow of the configuration by the clock (UTC). Cron
// has five fields.
type Schedule struct {
	Workflow string `json:"workflow"`
	Cron     string `json:"cron"`
	// Only and Ignore are the branch filters as written: exact names, or
	// regular expressions between slashes.
	Only   []string `json:"only,omitempty"`
	Ignore []string `json:"ignore,omitempty"`
}

// A JobSpec is what an agent runs.
type JobSpec struct {
	Executor      Executor `json:"executor"`
	ResourceClass string   `json:"resource_class,omitempty"` // "" is the installation's default
	// Parallelism is the number of nodes; 0 means 1.
	Parallelism int `json:"parallelism,omitempty"`
	// Shell is the default of the run steps, split on spaces; "" is the
	// executor's.
	Shell string `json:"shell,omitempty"`
	// WorkingDirectory may begin with ~; "" is ~/project.
	WorkingDirectory string     `json:"working_directory,omitempty"`
	Environment      []Var      `json:"environment,omitempty"`
	Steps            []StepSpec `json:"steps,omitempty"`
}

// A Var is an environment variable. A secret one is masked in all output.
type Var struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Secret bool   `json:"secret,omitempty"`
}

// An Executor is where a job's steps run.
type Executor struct {
	Kind ExecutorKind `json:"kind"`
	// Images are a Docker job's containers; the first one runs the steps, the
	// others are services beside it.
	Images []Image `json:"images,omitempty"`
	// Machine is the image of a machine job; "" is the installation's default.
	Machine string `json:"machine,omitempty"`
	// Xcode is the version that a macOS job asks for.
	Xcode string `json:"xcode,omitempty"`
	// LayerCaching asks for a machine that keeps Docker layers between jobs.
	LayerCaching bool `json:"layer_caching,omitempty"`
}

// An ExecutorKind names a kind of [Executor].
type ExecutorKind string

// The kinds of executors.
const (
	ExecutorDocker  ExecutorKind = "docker"
	ExecutorMachine ExecutorKind = "machine"
	ExecutorMacOS   ExecutorKind = "macos"
)

// An Image is one container of a Docker job. Values under Auth and AWSAuth may
// name environment variables ($NAME), which the agent replaces.
type Image struct {
	Image      string   `json:"image"`
	Name       string   `json:"name,omitempty"` // host name on the job's network
	Entrypoint []string `json:"entrypoint,omitempty"`
	Command    []string `json:"command,omitempty"`
	User       string   `json:"user,omitempty"`
	// Environment is that of the container's own process.
	Environment []Var             `json:"environment,omitempty"`
	Auth        map[string]string `json:"auth,omitempty"`     // username, password
	AWSAuth     map[string]string `json:"aws_auth,omitempty"` // aws_access_key_id, ...
}

// A StepSpec is one step. Kind decides which of the other fields are read.
type StepSpec struct {
	Kind StepKind `json:"kind"`
	// Name is what people see; "" lets the agent choose (the command itself
	// for a run step, "Checkout code" and so on for the others).
	Name string `json:"name,omitempty"`
	// When says after what the step runs; the uploading steps (store_artifacts,
	// store_test_results) always run.
	When When `json:"when,omitempty"`

	// Fields of run.
	Command     string `json:"command,omitempty"`
	Shell       string `json:"shell,omitempty"` // "" is the job's
	Environment []Var  `json:"environment,omitempty"`
	Background  bool   `json:"background,omitempty"`
	// WorkingDirectory is relative to the job's; "" is the job's.
	WorkingDirectory string `json:"working_directory,omitempty"`
	// NoOutputTimeout ends a step that is silent for so long; 0 is 10 minutes.
	NoOutputTimeout time.Duration `json:"no_output_timeout,omitempty"`
	MaxAutoReruns   int           `json:"max_auto_reruns,omitempty"`
	AutoRerunDelay  time.Duration `json:"auto_rerun_delay,omitempty"`

	// Path is the directory of checkout ("" is the working directory) and
	// attach_workspace, the root of persist_to_workspace, and the file or
	// directory of store_artifacts and store_test_results.
	Path string `json:"path,omitempty"`
	// Destination is the name of artifacts in the listing; "" is Path's own.
	Destination string `json:"destination,omitempty"`
	// Keys are the cache key templates: one for save_cache, in order of
	// preference for restore_cache.
	Keys []string `json:"keys,omitempty"`
	// Paths are the files and directories of save_cache, and the globs below
	// Path of persist_to_workspace.
	Paths []string `json:"paths,omitempty"`
	// Method and Depth steer checkout: "" or "full", "blobless", "shallow".
	Method string `json:"method,omitempty"`
	Depth  int    `json:"depth,omitempty"`
	// Fingerprints choose the keys of add_ssh_keys; none means all.
	Fingerprints []string `json:"fingerprints,omitempty"`
	// LayerCaching and Version are those of setup_remote_docker.
	LayerCaching bool   `json:"layer_caching,omitempty"`
	Version      string `json:"version,omitempty"`
}

// A StepKind names a built-in step, by its key in the configuration.
type StepKind string

// The built-in steps. A deploy step is a run step of its own kind: with
// parallelism it runs on node 0 only, after the other nodes.
const (
	StepRun          StepKind = "run"
	StepDeploy       StepKind = "deploy"
	StepCheckout     StepKind = "checkout"
	StepSaveCache    StepKind = "save_cache"
	StepRestoreCache StepKind = "restore_cache"
	StepPersist      StepKind = "persist_to_workspace"
	StepAttach       StepKind = "attach_workspace"
	StepArtifacts    StepKind = "store_artifacts"
	StepTestResults  StepKind = "store_test_results"
	StepSSHKeys      StepKind = "add_ssh_keys"
	StepRemoteDocker StepKind = "setup_remote_docker"
	StepEnvironment  StepKind = "environment" // the agent's own first step: what the job runs on
)

// When says after what a step runs.
type When string

// The conditions of steps.
const (
	OnSuccess When = "" // as long as nothing has failed
	OnFail    When = "on_fail"
	Always    When = "always"
)
