package api

import (
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// seconds is a duration on the wire of the insights.
func seconds(d time.Duration) int64 { return int64(d.Round(time.Second) / time.Second) }

// A spread is a [ci.Spread] on the wire, in seconds.
type spread struct {
	Min       int64   `json:"min"`
	Mean      int64   `json:"mean"`
	Median    int64   `json:"median"`
	P95       int64   `json:"p95"`
	Max       int64   `json:"max"`
	Deviation float64 `json:"standard_deviation"`
}

func spreadOf(s ci.Spread) spread {
	return spread{seconds(s.Min), seconds(s.Mean), seconds(s.Median), seconds(s.P95), seconds(s.Max), s.Deviation.Seconds()}
}

// A metrics is a [ci.Stats] on the wire. There are no credits here, so none
// were used. The last four fields are Rondo's own.
type metrics struct {
	Runs       int     `json:"total_runs"`
	Completed  int     `json:"completed_runs"`
	Successes  int     `json:"successful_runs"`
	Failures   int     `json:"failed_runs"`
	Rate       float64 `json:"success_rate"`
	Throughput float64 `json:"throughput"`
	MTTR       int64   `json:"mttr"`
	Credits    int64   `json:"total_credits_used"`
	Recoveries int     `json:"total_recoveries"`
	Duration   spread  `json:"duration_metrics"`

	Queue       spread `json:"queue_metrics"`
	Last        int64  `json:"last_duration"`
	Parallelism int    `json:"parallelism"`
	TotalTime   int64  `json:"total_duration_secs"`
}

func metricsOf(s ci.Stats) metrics {
	done := s.Successes + s.Failures
	return metrics{
		Runs: s.Runs, Completed: done, Successes: s.Successes, Failures: s.Failures, Rate: s.SuccessRate(),
		Throughput: s.Throughput(), MTTR: seconds(s.Recovery), Recoveries: s.Recoveries, Duration: spreadOf(s.Duration),
		Queue: spreadOf(s.Wait), Last: seconds(s.Last), Parallelism: s.Parallelism,
		TotalTime: seconds(s.Duration.Mean * time.Duration(done)),
	}
}

// namedMetrics are those of a workflow or a job.
type namedMetrics struct {
	Name    string  `json:"name"`
	Project string  `json:"project_id"`
	Start   stamp   `json:"window_start"`
	End     stamp   `json:"window_end"`
	Metrics metrics `json:"metrics"`
}

func namedMetricsOf(p ci.ProjectID, all []ci.Stats) []namedMetrics {
	var items []namedMetrics
	for _, s := range all {
		items = append(items, namedMetrics{s.Name, string(p), stampOf(s.From), stampOf(s.To), metricsOf(s)})
	}
	return items
}

// A runItem is a run of a workflow in a list.
type runItem struct {
	ID       string `json:"id"`
	Branch   string `json:"branch"`
	Duration int64  `json:"duration"`
	Created  stamp  `json:"created_at"`
	Stopped  stamp  `json:"stopped_at"`
	Credits  int64  `json:"credits_used"`
	Status   string `json:"status"`
	Approval bool   `json:"is_approval"`
}

// A jobRunItem is a run of a job in a list.
type jobRunItem struct {
	ID       string `json:"id"`
	Number   int64  `json:"job_number"`
	Duration int64  `json:"duration"`
	Started  stamp  `json:"started_at"`
	Stopped  stamp  `json:"stopped_at"`
	Credits  int64  `json:"credits_used"`
	Status   string `json:"status"`
}

// trends are ratios of a window's figures to those of the window before; 1 is
// no change, and no figures before are no change.
type trends struct {
	Runs       float64 `json:"total_runs"`
	Failures   float64 `json:"failed_runs"`
	Rate       float64 `json:"success_rate"`
	P95        float64 `json:"p95_duration_secs"`
	Median     float64 `json:"median_duration_secs"`
	Credits    float64 `json:"total_credits_used"`
	MTTR       float64 `json:"mttr"`
	Throughput float64 `json:"throughput"`
}

func trendsOf(now, before ci.Stats) trends {
	ratio := func(a, b float64) float64 {
		if b == 0 {
			return 1
		}
		return a / b
	}
	return trends{
		Runs: ratio(float64(now.Runs), float64(before.Runs)), Failures: ratio(float64(now.Failures), float64(before.Failures)),
		Rate: ratio(now.SuccessRate(), before.SuccessRate()), Credits: 1,
		P95:        ratio(now.Duration.P95.Seconds(), before.Duration.P95.Seconds()),
		Median:     ratio(now.Duration.Median.Seconds(), before.Duration.Median.Seconds()),
		MTTR:       ratio(now.Recovery.Seconds(), before.Recovery.Seconds()),
		Throughput: ratio(now.Throughput(), before.Throughput()),
	}
}

// A workflowSummary is a workflow beside the window before.
type workflowSummary struct {
	Metrics   metrics  `json:"metrics"`
	Trends    trends   `json:"trends"`
	Workflows []string `json:"workflow_names"`
}

// A projectSummary is a project and its workflows.
type projectSummary struct {
	Org       string            `json:"org_id"`
	Project   string            `json:"project_id"`
	Data      metricsAndTrends  `json:"project_data"`
	Workflows []workflowMetrics `json:"project_workflow_data"`
	ByBranch  []workflowMetrics `json:"project_workflow_branch_data"`
	Branches  []string          `json:"all_branches"`
	Names     []string          `json:"all_workflows"`
}

// An orgSummary is an organisation and its projects.
type orgSummary struct {
	Data     metricsAndTrends `json:"org_data"`
	Projects []projectMetrics `json:"org_project_data"`
	Names    []string         `json:"all_projects"`
}

type metricsAndTrends struct {
	Metrics metrics `json:"metrics"`
	Trends  trends  `json:"trends"`
}

type workflowMetrics struct {
	Name    string  `json:"workflow_name"`
	Branch  *string `json:"branch"`
	Metrics metrics `json:"metrics"`
	Trends  trends  `json:"trends"`
}

type projectMetrics struct {
	Name    string  `json:"project_name"`
	Metrics metrics `json:"metrics"`
	Trends  trends  `json:"trends"`
}

// A bucketItem is a workflow or job in an hour or a day.
type bucketItem struct {
	Name    string  `json:"name"`
	Time    stamp   `json:"timestamp"`
	Start   stamp   `json:"min_started_at"`
	End     stamp   `json:"max_ended_at"`
	Metrics metrics `json:"metrics"`
}

type branchList struct {
	Org      string   `json:"org_id"`
	Project  string   `json:"project_id"`
	Branches []string `json:"branches"`
}

// classUsage is a [ci.ClassUsage] on the wire.
type classUsage struct {
	Class   string `json:"resource_class"`
	Jobs    int    `json:"total_jobs"`
	Seconds int64  `json:"total_duration_secs"`
	Queue   spread `json:"queue_metrics"`
}

// testMetrics are a [ci.TestStats] on the wire.
type testMetrics struct {
	Average     int64      `json:"average_test_count"`
	Runs        int        `json:"total_test_runs"`
	Failed      []testStat `json:"most_failed_tests"`
	FailedMore  int        `json:"most_failed_tests_extra"`
	Slowest     []testStat `json:"slowest_tests"`
	SlowestMore int        `json:"slowest_tests_extra"`
	TestRuns    []testRun  `json:"test_runs"`
}

type testStat struct {
	Name      string  `json:"test_name"`
	Classname string  `json:"classname"`
	File      string  `json:"file"`
	Source    string  `json:"source"`
	Job       string  `json:"job_name"`
	Failed    int     `json:"failed_runs"`
	Total     int     `json:"total_runs"`
	Flaky     bool    `json:"flaky"`
	P95       float64 `json:"p95_duration"`
}

type testRun struct {
	Pipeline int64      `json:"pipeline_number"`
	Workflow string     `json:"workflow_id"`
	Rate     float64    `json:"success_rate"`
	Counts   testCounts `json:"test_counts"`
}

type testCounts struct {
	Error   int `json:"error"`
	Failure int `json:"failure"`
	Skipped int `json:"skipped"`
	Success int `json:"success"`
	Total   int `json:"total"`
}

// A flakyList lists flaky tests under both spellings that clients read.
type flakyList struct {
	Tests      []flakyTest `json:"flaky_tests"`
	Total      int         `json:"total_flaky_tests"`
	TestsKebab []flakyTest `json:"flaky-tests"`
	TotalKebab int         `json:"total-flaky-tests"`
}

// A flakyTest is a [ci.FlakyTest] on the wire, under both spellings.
type flakyTest struct {
	Name           string  `json:"test_name"`
	Classname      string  `json:"classname"`
	File           string  `json:"file"`
	Source         string  `json:"source"`
	Job            string  `json:"job_name"`
	JobNumber      int64   `json:"job_number"`
	Pipeline       int64   `json:"pipeline_number"`
	Workflow       string  `json:"workflow_name"`
	WorkflowID     string  `json:"workflow_id"`
	Flakes         int     `json:"times_flaked"`
	Wasted         float64 `json:"time_wasted"`
	At             stamp   `json:"workflow_created_at"`
	NameKebab      string  `json:"test-name"`
	JobKebab       string  `json:"job-name"`
	JobNumberKebab int64   `json:"job-number"`
	PipelineKebab  int64   `json:"pipeline-number"`
	WorkflowKebab  string  `json:"workflow-name"`
	IDKebab        string  `json:"workflow-id"`
	FlakesKebab    int     `json:"times-flaked"`
	WastedKebab    float64 `json:"time-wasted"`
	AtKebab        stamp   `json:"workflow-created-at"`
}
