package fsck

import "fmt"

// A Code names a rule that is broken.
type Code string

// The codes, by what they are about.
const (
	Database Code = "DB01" // the database says itself that it is damaged

	EventGap      Code = "EVT01" // a number is missing or comes twice
	EventOrphan   Code = "EVT02" // of a pipeline that does not exist
	EventWorkflow Code = "EVT03" // names a workflow of another pipeline, or none that exists
	EventTime     Code = "EVT04" // in the future by more than an hour

	ProjectSlug Code = "PRJ01" // two projects of one slug, or none

	PipelineState   Code = "PIP01" // a state that does not exist
	PipelinePlan    Code = "PIP02" // compiled, and without a plan
	PipelineNumber  Code = "PIP03" // two with one number, or none
	PipelineEmpty   Code = "PIP04" // compiled, its plan has workflows to start, and none exists
	PipelineErrors  Code = "PIP05" // errored without an error
	PipelineProject Code = "PIP06" // of a project that does not exist
	PipelineStuck   Code = "PIP07" // accepted an hour ago, and neither compiled nor errored

	WorkflowStatus  Code = "WFL01" // a status that does not exist
	WorkflowOpen    Code = "WFL02" // goes on although all its jobs have ended
	WorkflowClosed  Code = "WFL03" // has ended although jobs have not
	WorkflowOutcome Code = "WFL04" // success with a job that failed, or the other way round
	WorkflowStopped Code = "WFL05" // ended without a time, or goes on with one
	WorkflowParent  Code = "WFL06" // says that it is of another pipeline
	WorkflowEmpty   Code = "WFL07" // without jobs
	WorkflowTimes   Code = "WFL08" // ended before it began

	JobStatus     Code = "JOB01" // a status that does not exist
	JobRequires   Code = "JOB02" // requires a job that the workflow has not
	JobEarly      Code = "JOB03" // began although a requirement has not ended
	JobLate       Code = "JOB04" // waits although all its requirements are met
	JobTasks      Code = "JOB05" // has not as many tasks as its parallelism
	JobOutcome    Code = "JOB06" // its status does not follow from its tasks
	JobTimes      Code = "JOB07" // its times are not in order
	JobNumber     Code = "JOB08" // two with one number in a project, or none
	JobTwice      Code = "JOB09" // two with one identity or name
	JobTicket     Code = "JOB10" // queued or running, and the queue does not know it
	JobCycle      Code = "JOB11" // requires itself
	TaskStatus    Code = "TSK01" // a status that does not exist
	TaskEpoch     Code = "TSK02" // ran without a hand-out
	TicketOrphan  Code = "TKT01" // of a task that does not exist
	TicketEnded   Code = "TKT02" // in the queue although its task has ended
	TicketEpoch   Code = "TKT03" // lower than the hand-out that the job knows
	TicketLease   Code = "TKT04" // claimed without a worker or an end
	TicketState   Code = "TKT05" // a state that does not exist
	StepGap       Code = "STP01" // the numbers of steps have a gap
	StepRunning   Code = "STP02" // runs although its task has ended
	StepTimes     Code = "STP03" // ended before it began
	StepStatus    Code = "STP04" // a status that does not exist
	LogLength     Code = "LOG01" // the output is not as long as the agent told
	LogHash       Code = "LOG02" // the output is not what the agent told
	LogUnreadable Code = "LOG03" // the output cannot be read
	DocBody       Code = "DOC01" // is no JSON
	DocVersion    Code = "DOC02" // has no version, no identity, or another kind
	DocOverdue    Code = "DOC03" // should have been looked at a week ago
	DocTwice      Code = "DOC04" // two of one name in a scope
	DocTimes      Code = "DOC05" // updated before it was made
	AuditChain    Code = "AUD01" // the chain of the audit log is broken
	SourceDamaged Code = "SRC01" // a record cannot be read at all
)

// A Finding is one broken rule.
type Finding struct {
	Code   Code   `json:"code"`
	Object string `json:"object"` // pipeline 0193..., job test of workflow 0193...
	Text   string `json:"text"`
	Fix    string `json:"fix"`
}

// String returns the finding as one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s %s: %s; %s", f.Code, f.Object, f.Text, f.Fix)
}
