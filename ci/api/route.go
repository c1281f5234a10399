package api

import (
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A route is one operation: how it is served and how it is described.
type route struct {
	method string
	// path is below the root of its table; names in braces are read with PathValue.
	path string
	// shown is the path as documented, where that differs.
	shown   string
	summary string
	tag     string
	status  int // of success
	// query are the parameters in the address, "name: what it does".
	query []string
	// request and response are values of the types on the wire; a response of
	// nil is not JSON.
	request  any
	response any
	// open routes need no token.
	open bool
	// scope is the least that a project token must be good for; "" wants a
	// person. A route with one also lets everybody read open projects.
	scope ci.TokenScope
	// most is the size in bytes of the largest body; 0 is [maxBody].
	most int64
	// errorKey says that errors have their text as "error", too, where clients
	// look for it there.
	errorKey bool
	// serve does the operation and returns the reply, or written.
	serve func(*call) (any, error)
}

const pageToken = "page-token: the next_page_token of the page before"

// routes returns the table of all operations.
func routes() []route {
	return slices.Concat(
		documented(), jobRoutes(), orgRoutes(), projectRoutes(), contextRoutes(), variableRoutes(), keyRoutes(), scheduleRoutes(),
		webhookRoutes(), definitionRoutes(), triggerRoutes(), compileRoutes(), claimRoutes(), policyRoutes(), insightRoutes(), usageRoutes(),
		keyringRoutes(), auditRoutes(), userRoutes(), userLinkRoutes(), nodeRoutes(), queueRoutes(), own(),
	)
}

// documented are the operations on what is not a job.
func documented() []route {
	return []route{
		{
			method: "GET", path: "/openapi.json", summary: "This description", tag: "Meta",
			status: 200, open: true, serve: (*call).openAPI,
		}, {
			method: "GET", path: "/me", summary: "Who the token belongs to", tag: "User",
			status: 200, response: user{}, serve: (*call).me,
		}, {
			method: "GET", path: "/project/{project_slug}", summary: "A project", tag: "Project",
			status: 200, response: project{}, serve: (*call).getProject,
		}, {
			method: "GET", path: "/pipeline", summary: "Recent pipelines, newest first", tag: "Pipeline",
			query:  []string{"org-slug: only those of an organisation", "mine: true for the caller's own only", pageToken},
			status: 200, response: page[pipeline]{}, serve: (*call).listPipelines,
		}, {
			method: "GET", path: "/pipeline/{pipeline_id}", summary: "A pipeline", tag: "Pipeline",
			status: 200, response: pipeline{}, serve: (*call).getPipeline,
		}, {
			method: "GET", path: "/pipeline/{pipeline_id}/config", summary: "The configuration of a pipeline", tag: "Pipeline",
			status: 200, response: pipelineConfig{}, serve: (*call).getPipelineConfig,
		}, {
			method: "GET", path: "/pipeline/{pipeline_id}/workflow", summary: "The workflows of a pipeline", tag: "Pipeline",
			query: []string{pageToken}, status: 200, response: page[workflow]{}, serve: (*call).listWorkflows,
		}, {
			method: "POST", path: "/pipeline/{pipeline_id}/cancel", summary: "Cancel the workflows of a pipeline", tag: "Pipeline",
			status: 202, response: message{}, serve: (*call).cancelPipeline,
		}, {
			method: "GET", path: "/project/{project_slug}/pipeline", summary: "The pipelines of a project, newest first", tag: "Pipeline",
			query:  []string{"branch: only those of a branch", pageToken},
			status: 200, response: page[pipeline]{}, serve: (*call).listProjectPipelines,
		}, {
			method: "GET", path: "/project/{project_slug}/pipeline/mine", summary: "The caller's own pipelines of a project", tag: "Pipeline",
			query: []string{pageToken}, status: 200, response: page[pipeline]{}, serve: (*call).listMyPipelines,
		}, {
			method: "GET", path: "/project/{project_slug}/pipeline/{pipeline_number}", summary: "A pipeline by its number", tag: "Pipeline",
			status: 200, response: pipeline{}, serve: (*call).getPipelineByNumber,
		}, {
			method: "POST", path: "/project/{project_slug}/pipeline", summary: "Trigger a pipeline", tag: "Pipeline",
			status: 201, request: triggerRequest{}, response: triggered{}, serve: (*call).triggerPipeline,
		}, {
			method: "GET", path: "/workflow/{workflow_id}", summary: "A workflow", tag: "Workflow",
			status: 200, response: workflow{}, serve: (*call).getWorkflow,
		}, {
			method: "GET", path: "/workflow/{workflow_id}/job", summary: "The jobs of a workflow", tag: "Workflow",
			query: []string{pageToken}, status: 200, response: page[workflowJob]{}, serve: (*call).listJobs,
		}, {
			method: "POST", path: "/workflow/{workflow_id}/approve/{approval_request_id}", summary: "Approve a job that waits for it", tag: "Workflow",
			status: 202, response: message{}, serve: (*call).approve,
		}, {
			method: "POST", path: "/workflow/{workflow_id}/cancel", summary: "Cancel a workflow", tag: "Workflow",
			status: 202, response: message{}, serve: (*call).cancelWorkflow,
		}, {
			method: "POST", path: "/workflow/{workflow_id}/rerun", summary: "Run a workflow or parts of it again", tag: "Workflow",
			status: 202, request: rerunRequest{}, response: rerunReply{}, serve: (*call).rerun,
		},
	}
}

// jobRoutes are the documented operations on jobs.
func jobRoutes() []route {
	const at = "/project/{project_slug}/job/{job_number}"
	return []route{
		{
			method: "GET", path: at, summary: "A job", tag: "Job",
			status: 200, response: jobDetails{}, serve: (*call).getJob,
		}, {
			method: "POST", path: at + "/cancel", summary: "Cancel a job", tag: "Job",
			status: 200, response: message{}, serve: (*call).cancelJob,
		}, {
			method: "POST", path: "/jobs/{job_id}/cancel", summary: "Cancel a job by its identity", tag: "Job",
			status: 200, response: message{}, serve: (*call).cancelJob,
		}, {
			method: "GET", path: at + "/artifacts", shown: "/project/{project_slug}/{job_number}/artifacts",
			summary: "The artifacts of a job", tag: "Job",
			query: []string{pageToken}, status: 200, response: page[artifact]{}, serve: (*call).listArtifacts,
		}, {
			method: "GET", path: at + "/tests", shown: "/project/{project_slug}/{job_number}/tests",
			summary: "The test results of a job", tag: "Job",
			query: []string{pageToken}, status: 200, response: page[test]{}, serve: (*call).listTests,
		},
	}
}

// own are the operations that only Rondo has.
func own() []route {
	return []route{
		{
			method: "GET", path: "/rondo/projects", summary: "All projects", tag: "Rondo",
			status: 200, response: page[project]{}, serve: (*call).listProjects,
		}, {
			method: "GET", path: "/rondo/job/{job_id}", summary: "A job by its identity", tag: "Rondo",
			status: 200, response: jobDetails{}, serve: (*call).getJob,
		}, {
			method: "GET", path: "/rondo/job/{job_id}/steps", summary: "The steps of a job, by parallel node", tag: "Rondo",
			status: 200, response: page[taskSteps]{}, serve: (*call).listSteps,
		}, {
			method: "GET", path: "/rondo/job/{job_id}/tests", summary: "The test results of a job", tag: "Rondo",
			query: []string{pageToken}, status: 200, response: page[test]{}, serve: (*call).listTests,
		}, {
			method: "GET", path: "/rondo/job/{job_id}/artifacts", summary: "The artifacts of a job", tag: "Rondo",
			query: []string{pageToken}, status: 200, response: page[artifact]{}, serve: (*call).listArtifacts,
		}, {
			method: "GET", path: "/rondo/job/{job_id}/artifacts/{node}/{path...}", summary: "The bytes of an artifact", tag: "Rondo",
			status: 200, serve: (*call).openArtifact,
		}, {
			method: "GET", path: "/rondo/log", summary: "The output of a step: bytes, or server-sent events if Accept asks for them", tag: "Rondo",
			query: []string{
				"task: the task, as job.node", "epoch: the hand-out; the newest if absent", "step: index of the step",
				"offset: first byte, from 0", "limit: most bytes", "follow: true to wait for more until the step's task ends",
			},
			status: 200, serve: (*call).readLog,
		}, {
			method: "GET", path: "/rondo/events", summary: "What happens, live, as server-sent events; Last-Event-ID resumes", tag: "Rondo",
			query: []string{
				"after: number of the last event seen; without it and Last-Event-ID only what comes",
				"project: slug or identity", "pipeline: identity", "workflow: identity",
			},
			status: 200, serve: (*call).events,
		},
	}
}
