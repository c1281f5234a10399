package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

const machineJobs = `
version: 2.1
jobs:
  own:
    machine: {image: default, docker_layer_caching: true}
    resource_class: medium
    environment: {GREETING: hello}
    steps:
      - checkout
      - run: 'git log --format=%s; ls -a; cat .circleci/config.yml | head -3'
      - run: 'echo "$GREETING from $(whoami) at $(hostname) in $PWD of $HOME, $CIRCLE_JOB"; docker version --format "engine {{.Server.Version}}"'
      - run: docker run --rm -v /:/host nothing 2>&1 | tail -1 || true
      - run: head -c 20000000 /dev/urandom > big; sha256sum big; sha256sum big > sum; mkdir -p out; cp sum out
      - save_cache: {key: 'k-{{ .Environment.CIRCLE_WORKFLOW_ID }}', paths: [big]}
      - persist_to_workspace: {root: ., paths: [sum]}
      - store_artifacts: {path: out}
      - run: circleci-agent step halt
      - run: exit 3
  after:
    machine: true
    steps:
      - attach_workspace: {at: .}
      - restore_cache: {key: 'k-{{ .Environment.CIRCLE_WORKFLOW_ID }}'}
      - run: sha256sum -c sum
      - run: {name: Fails, command: 'exit 7'}
      - run: {name: Tells, command: 'echo it failed', when: on_fail}
workflows: {main: {jobs: [own, {after: {requires: [own]}}]}}
`

// A machine job runs on a machine of its own that had waited, with all that a
// job has elsewhere; the machine ends with it.
func TestVMS06_VMS10_OnHostMachineJob(t *testing.T) {
	t.Parallel()
	h := newHostSite(t, machineJobs, "  prealloc_machine: 1\n")
	h.start()
	id := h.first()
	own, ownJob := h.said(id, "own")
	require.Contains(t, own, "Checked out revision ", h.s.errors())
	after, afterJob := h.said(id, "after")
	all := own + "\n" + after + "\n" + h.s.errors()
	require.Equal(t, []ci.Status{ci.Failed}, h.s.workflowStatuses(id), all)
	require.Regexp(t, `hello from circleci at \S+ in /home/circleci/project of /home/circleci, own\n`, own, all)
	require.Contains(t, own, "engine ", all)
	require.Contains(t, own, "version: 2.1\n", all)
	require.Contains(t, own, "Steps run on machine ", all)
	require.Contains(t, own, "Docker layer cache: fresh", all)
	host, err := os.Hostname()
	require.NoError(t, err)
	require.NotContains(t, own, " at "+host+" in")
	require.Contains(t, after, "big: OK", all)
	require.Contains(t, after, "it failed", all)
	seen := map[string]bool{}
	for _, job := range []string{ownJob, afterJob} {
		h.s.eventually("the job's machine is gone", func() bool {
			rs := h.records("?task=" + job + ".0")
			return len(rs) == 1 && rs[0].State == vmservice.Gone
		})
		seen[h.records("?task=" + job + ".0")[0].Key] = true
	}
	require.Len(t, seen, 2, "each has had its own")
	h.clear()
	h.finish()
}

const machineWaits = `
version: 2.1
jobs:
  own:
    machine: true
    steps:
      - run: {name: Waits, command: 'echo it waits; sleep 600'}
      - run: {name: Always, command: 'echo cleans up', when: always}
workflows: {main: {jobs: [own]}}
`

// The server is killed while a job is on its machine: the job goes on, and is
// canceled with grace afterwards.
func TestVMS06_P14_OnHostMachineJobOutlivesTheServer(t *testing.T) {
	t.Parallel()
	h := newHostSite(t, machineWaits, "")
	h.start()
	h.s.eventually("the first pipeline", func() bool { return len(h.s.pipelines()) == 1 })
	id := h.s.pipelines()[0].ID
	waits := func() bool {
		jobs := h.s.jobs(id)
		if len(jobs) == 0 {
			return false
		}
		text, _ := h.said(id, "own")
		return strings.Contains(text, "it waits")
	}
	h.s.eventually("it waits", waits)
	h.s.kill()
	h.start()
	require.True(t, waits())
	require.Equal(t, []ci.Status{ci.Running}, h.s.workflowStatuses(id))
	code, body := h.s.call("POST", "/api/v2/workflow/"+h.workflow(id)+"/cancel", "")
	require.Equal(t, 202, code, body)
	h.end(id)
	text, _ := h.said(id, "own")
	require.Equal(t, []ci.Status{ci.Canceled}, h.s.workflowStatuses(id), text)
	h.s.eventually("the always step ran", func() bool { text, _ = h.said(id, "own"); return strings.Contains(text, "cleans up") })
	h.clear()
	h.finish()
}

// The agent on the machine is killed, as a job that is root there can do: the
// job ends as a failure of the machinery, in words.
func TestVMS06_OnHostAgentIsKilled(t *testing.T) {
	t.Parallel()
	h := newHostSite(t, strings.ReplaceAll(machineWaits, "sleep 600", `kill -9 $(pgrep -f rondo-machine-agent | head -1); sleep 600`), "")
	h.start()
	id := h.first()
	text, _ := h.said(id, "own")
	require.Equal(t, []ci.Status{ci.Failed}, h.s.workflowStatuses(id), text)
	job := h.s.jobs(id)[0]
	require.Equal(t, ci.InfraFailed, job.Status, text)
	h.clear()
	h.finish()
}

// workflow returns the ID of the only workflow.
func (h *hostSite) workflow(pipeline string) string {
	h.t.Helper()
	_, body := h.s.call("GET", "/api/v2/pipeline/"+pipeline+"/workflow", "")
	_, rest, _ := strings.Cut(body, `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}
