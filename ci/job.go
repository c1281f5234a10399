package ci

import "time"

// A Job is one node of a workflow's graph, in one attempt.
type Job struct {
	ID   JobID   `json:"id"`
	Name string  `json:"name"`
	Type JobType `json:"type,omitempty"`
	// Number counts the build jobs of the project from 1; 0 for other types.
	Number int64 `json:"number,omitempty"`
	// Attempt counts from 1 within the workflow.
	Attempt  int           `json:"attempt"`
	Requires []Requirement `json:"requires,omitempty"`
	Status   Status        `json:"status"`
	// Reason says why the job is in its status, when that is not plain.
	Reason   string       `json:"reason,omitempty"`
	Class    string       `json:"class,omitempty"`
	Executor ExecutorKind `json:"executor,omitempty"`
	// Tasks has one entry per parallel node, once the job is queued.
	Tasks []TaskState `json:"tasks,omitempty"`
	// Parallelism is the number of tasks, at least 1 in a build job.
	Parallelism int       `json:"parallelism,omitempty"`
	Queued      time.Time `json:"queued,omitzero"`
	Started     time.Time `json:"started,omitzero"`
	Stopped     time.Time `json:"stopped,omitzero"`
	// Approved is who approved an approval job.
	Approved Actor `json:"approved,omitzero"`
	// Refused is why the job will be [Unauthorized] when it is its turn: it
	// asks for a context that whoever started the workflow may not use.
	Refused string `json:"refused,omitempty"`
	// Kept says that the job was carried over, with its outcome, from the
	// workflow that this one is a rerun of.
	Kept bool `json:"kept,omitempty"`
}

// A TaskState is the state of one parallel node of a job.
type TaskState struct {
	Status  Status    `json:"status"`
	Epoch   int64     `json:"epoch,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Node    string    `json:"node,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Stopped time.Time `json:"stopped,omitzero"`
}

// newJob returns the first attempt of a planned job, waiting.
func newJob(p PlannedJob) Job {
	j := Job{
		ID: JobID(NewID()), Name: p.Name, Type: p.Type, Attempt: 1,
		Requires: p.Requires, Status: Blocked, Refused: p.Refused,
	}
	if p.Type == JobBuild {
		j.Class, j.Executor = p.ResourceClass, p.Executor.Kind
		j.Parallelism = max(p.Parallelism, 1)
	}
	return j
}

// again returns a new attempt of the job, waiting.
func (j Job) again() Job {
	return Job{
		ID: JobID(NewID()), Name: j.Name, Type: j.Type, Attempt: j.Attempt + 1,
		Requires: j.Requires, Status: Blocked,
		Class: j.Class, Executor: j.Executor, Parallelism: j.Parallelism,
	}
}

// outcome returns the status of the job from those of its tasks: final when
// all have ended, and then the worst; otherwise Running as soon as one has
// started.
func (j *Job) outcome() Status {
	ended, started := true, false
	worst := Success
	for _, t := range j.Tasks {
		ended = ended && t.Status.Ended()
		started = started || t.Status != Queued
		if rank(t.Status) > rank(worst) {
			worst = t.Status
		}
	}
	switch {
	case ended:
		return worst
	case started:
		return Running
	}
	return Queued
}

// began returns when the first of the tasks started, now at the latest.
func (j *Job) began(now time.Time) time.Time {
	for _, t := range j.Tasks {
		if !t.Started.IsZero() && t.Started.Before(now) {
			now = t.Started
		}
	}
	return now
}

// rank orders the final statuses of tasks from good to bad.
func rank(s Status) int {
	switch s {
	case Canceled:
		return 1
	case InfraFailed:
		return 2
	case TimedOut:
		return 3
	case Failed:
		return 4
	case Unauthorized:
		return 5
	}
	return 0
}
