package ci

import "time"

// A Run is one workflow that has ended, as statistics remember it.
type Run struct {
	Workflow WorkflowID `json:"workflow"`
	Pipeline PipelineID `json:"pipeline"`
	Number   int64      `json:"number"` // of the pipeline
	Name     string     `json:"name"`
	Branch   string     `json:"branch,omitempty"` // "" for a tag
	Revision string     `json:"revision"`
	Status   Status     `json:"status"`
	Created  time.Time  `json:"created"`
	Stopped  time.Time  `json:"stopped"`
	// Approval says that it had to wait for a person.
	Approval bool     `json:"approval,omitempty"`
	Jobs     []JobRun `json:"jobs,omitempty"`
}

// A JobRun is one build job of a [Run]. Its wait is from Queued to Started.
type JobRun struct {
	ID          JobID      `json:"id"`
	Name        string     `json:"name"`
	Number      int64      `json:"number"`
	Status      Status     `json:"status"`
	Class       string     `json:"class,omitempty"`
	Parallelism int        `json:"parallelism,omitempty"`
	Queued      time.Time  `json:"queued,omitzero"`
	Started     time.Time  `json:"started,omitzero"`
	Stopped     time.Time  `json:"stopped,omitzero"`
	Tests       TestCounts `json:"tests,omitzero"`
	// Failures and Slowest are the tests worth remembering, a few of each.
	Failures []Test `json:"failures,omitempty"`
	Slowest  []Test `json:"slowest,omitempty"`
}

// TestCounts counts test results.
type TestCounts struct {
	Success int `json:"success,omitempty"`
	Failure int `json:"failure,omitempty"`
	Error   int `json:"error,omitempty"`
	Skipped int `json:"skipped,omitempty"`
}

// Total returns how many there are.
func (c TestCounts) Total() int { return c.Success + c.Failure + c.Error + c.Skipped }

// A RunQuery asks for runs of a project that ended within a window.
type RunQuery struct {
	Project  ProjectID
	Workflow string // "" is every workflow
	// Branch is "" for every branch.
	Branch string
	// From is the first instant, To the first one after; a zero To is now.
	From, To time.Time
}

// Stats sums up the runs of a workflow or a job within a window. Canceled runs
// and those that were not run count in Runs only.
type Stats struct {
	Name      string
	From, To  time.Time
	Runs      int
	Successes int
	Failures  int
	// Recoveries counts the successes that followed a failure on the same
	// branch, and Recovery is how long after the first failure they came, on
	// average.
	Recoveries int
	Recovery   time.Duration
	Duration   Spread
	Wait       Spread // of jobs, from ready to started
	// Last is the newest run's duration, Parallelism how many nodes the newest
	// run used at most in one job.
	Last        time.Duration
	Parallelism int
}

// SuccessRate returns the share of successes among successes and failures, 0
// to 1; 0 when there was neither.
func (s Stats) SuccessRate() float64 {
	if n := s.Successes + s.Failures; n > 0 {
		return float64(s.Successes) / float64(n)
	}
	return 0
}

// Throughput returns the average number of runs in 24 hours.
func (s Stats) Throughput() float64 {
	if d := s.To.Sub(s.From).Hours() / 24; d > 0 {
		return float64(s.Runs) / d
	}
	return 0
}

// A Spread describes a set of durations. The median of an even number is the
// mean of the two in the middle; P95 is the smallest that 95 of 100 do not
// exceed.
type Spread struct {
	Min, Mean, Median, P95, Max, Deviation time.Duration
}

// ClassUsage is what the jobs of a resource class used within a window.
type ClassUsage struct {
	Class string // "" is the installation's default
	Jobs  int
	// Time is the time from start to end, summed over all nodes of all jobs.
	Time time.Duration
	Wait Spread
}

// TestStats sums up the tests of a workflow's runs within a window.
type TestStats struct {
	// Runs counts the runs that had test results, Average how many they had.
	Runs    int
	Average float64
	// Failed are the tests that failed most, Slowest those that took longest;
	// at most 10 of each, and More says how many others there are.
	Failed      []TestStat
	FailedMore  int
	Slowest     []TestStat
	SlowestMore int
}

// A TestStat is a test in [TestStats].
type TestStat struct {
	Test
	Job      string
	Failures int
	// Longest is the longest time that it took in a run where it was among the
	// slowest.
	Longest time.Duration
}

// A FlakyTest is a test that gave different results for the same commit.
type FlakyTest struct {
	Test           // its newest failure, or what is known of it
	Workflow       string
	Job            string
	JobNumber      int64
	PipelineNumber int64
	WorkflowID     WorkflowID
	Flakes         int       // how often
	Last           time.Time // the newest one
}
