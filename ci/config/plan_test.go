package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
)

// compile compiles or fails the test.
func compile(t *testing.T, source string, o config.Options) ci.Plan {
	t.Helper()
	plan, err := config.Compile(t.Context(), []byte(unindent(source)), o)
	require.NoError(t, err, config.Render(err))
	return plan
}

// jobNames lists the jobs of all workflows of a plan with their requirements.
func jobNames(plan ci.Plan) string {
	var out []string
	for _, w := range plan.Workflows {
		for _, j := range w.Jobs {
			s := w.Name + "/" + j.Name
			for _, r := range j.Requires {
				s += "<" + r.Job
			}
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

func onBranch(name string) config.Options {
	return config.Options{Values: map[string]any{"git.branch": name}}
}

func onTag(name string) config.Options {
	return config.Options{Values: map[string]any{"git.tag": name}}
}

// TestFilters is the table of section 24.5 of the notes, and more.
func TestFilters(t *testing.T) {
	for _, c := range []struct {
		filters     string
		branch, tag bool // runs on main, runs on v1
	}{
		{``, true, false},
		{`{branches: {only: main}}`, true, false},
		{`{branches: {only: [dev, main]}}`, true, false},
		{`{branches: {ignore: main}}`, false, false},
		{`{branches: {ignore: [dev]}}`, true, false},
		{`{tags: {only: /^v.*/}}`, true, true},
		{`{tags: {only: /^v.*/}, branches: {ignore: /.*/}}`, false, true},
		{`{branches: {only: /mai/}}`, false, false},
		{`{tags: {ignore: /^v.*/}}`, true, false},
		{`{tags: {ignore: /^w.*/}}`, true, true},
		{`{tags: {}}`, true, false},
		{`{tags: {only: /.*/}}`, true, true},
		{`{tags: {only: v1}}`, true, true},
		{`{tags: {only: /v/}}`, true, false},
		{`{branches: {only: "/(?!release).*/"}}`, true, false},
		{`{branches: {only: "/(?!main).*/"}}`, false, false},
		{`{branches: {only: main, ignore: main}}`, true, false},
		{`{branches: {only: /m++ain/}}`, true, false},
		{`{branches: {only: []}}`, false, false},
		{`pipeline.git.branch == "main"`, true, false},
		{`pipeline.git.branch != "main"`, false, true},
		{`pipeline.git.tag matches /v\d+/ or pipeline.git.branch starts-with "ma"`, true, true},
	} {
		source := `
			version: 2.1
			jobs: {a: {docker: [{image: a}], steps: []}}
			workflows: {w: {jobs: [a: {filters: ` + c.filters + `}]}}
		`
		if c.filters == "" {
			source = strings.Replace(source, "{filters: }", "{}", 1)
		}
		branch := len(compile(t, source, onBranch("main")).Workflows) > 0
		tag := len(compile(t, source, onTag("v1")).Workflows) > 0
		require.Equal(t, c.branch, branch, "%s on main", c.filters)
		require.Equal(t, c.tag, tag, "%s on v1", c.filters)
	}
}

// TestFilteredRequirements: a requirement that is filtered out is dropped, and
// a job all of whose requirements are gone is gone too.
func TestFilteredRequirements(t *testing.T) {
	source := `
		version: 2.1
		jobs: {a: &j {docker: [{image: a}], steps: []}, b: *j, c: *j, d: *j, e: *j}
		workflows:
		  w:
		    jobs:
		      - e: {requires: [d]}
		      - a
		      - b: {filters: {branches: {only: dev}}}
		      - c: {requires: [a, b]}
		      - d: {requires: [b]}
		  t:
		    jobs:
		      - a: {filters: {tags: {only: /.*/}}}
		      - b: {requires: [a]}
		      - c: {requires: [a], filters: {tags: {only: /.*/}}}
		      - d: {requires: [b], filters: {tags: {only: /.*/}}}
	`
	require.Equal(t, "w/a w/c<a t/a t/b<a t/c<a t/d<b", jobNames(compile(t, source, onBranch("main"))))
	require.Equal(t, "w/e<d w/a w/b w/c<a<b w/d<b t/a t/b<a t/c<a t/d<b", jobNames(compile(t, source, onBranch("dev"))))
	require.Equal(t, "t/a t/c<a", jobNames(compile(t, source, onTag("v1"))))
}

func TestScheduled(t *testing.T) {
	source := `
		version: 2.1
		jobs: {a: &j {docker: [{image: a}], steps: []}, b: *j}
		workflows:
		  push: {jobs: [a]}
		  nightly:
		    triggers:
		      - schedule: {cron: "0  4 * * 1-5", filters: {branches: {only: [main, /rel.*/], ignore: x}}}
		    jobs: [b]
	`
	plan := compile(t, source, onBranch("main"))
	require.Equal(t, "push/a", jobNames(plan))
	require.Equal(t, []ci.Schedule{{Workflow: "nightly", Cron: "0 4 * * 1-5", Only: []string{"main", "/rel.*/"}, Ignore: []string{"x"}}}, plan.Schedules)
	plan = compile(t, source, config.Options{Schedule: "nightly", Values: map[string]any{"git.branch": "main"}})
	require.Equal(t, "nightly/b", jobNames(plan))
	_, err := config.Compile(t.Context(), []byte(unindent(source)), config.Options{Schedule: "hourly"})
	require.ErrorIs(t, err, ci.ErrInvalid)
}

// TestStepSpecs: each built-in step with its options.
func TestStepSpecs(t *testing.T) {
	plan := compile(t, `
		version: 2.1
		jobs:
		  build:
		    docker:
		      - image: cimg/go:1.26
		        name: main
		        entrypoint: /bin/sh -c 'a b'
		        command: [x, 1]
		        user: root
		        environment: {A: 1}
		        auth: {username: $U, password: $P}
		        aws_auth: {aws_access_key_id: k}
		    resource_class: large
		    parallelism: 3
		    shell: /bin/sh -e
		    working_directory: ~/x
		    parameters: {flag: {type: boolean, default: true}, off: {type: boolean, default: false}}
		    environment: {S: s, N: 3, B: true, NULL: ~, F: << parameters.flag >>, G: << parameters.off >>, T: "is << parameters.flag >>"}
		    steps:
		      - checkout
		      - checkout: {path: sub, method: shallow, depth: 5}
		      - run: echo
		      - run:
		          name: all
		          command: make
		          shell: bash
		          environment: [{E: e}, "F=f"]
		          background: true
		          working_directory: w
		          no_output_timeout: 1.25h
		          when: always
		          max_auto_reruns: 3
		          auto_rerun_delay: 10s
		      - run: {command: x, when: on_fail, no_output_timeout: "", background: false}
		      - deploy: {command: d}
		      - save_cache: {key: "k-{{ epoch }}", paths: [a, b], when: on_fail}
		      - restore_cache: {key: a, keys: [b, c], name: get}
		      - store_artifacts: {path: p, destination: d}
		      - store_test_results: {path: r}
		      - persist_to_workspace: {root: ., paths: [a/*]}
		      - attach_workspace: {at: ~}
		      - add_ssh_keys
		      - add_ssh_keys: {fingerprints: ["aa:bb", "SHA256:x"]}
		      - setup_remote_docker: {docker_layer_caching: true, version: 20.10.14}
	`, config.Options{})
	want := ci.PlannedJob{Name: "build", JobSpec: ci.JobSpec{
		Executor: ci.Executor{Kind: ci.ExecutorDocker, Images: []ci.Image{{
			Image: "cimg/go:1.26", Name: "main", Entrypoint: []string{"/bin/sh", "-c", "a b"}, Command: []string{"x", "1"},
			User: "root", Environment: []ci.Var{{Name: "A", Value: "1"}},
			Auth:    map[string]string{"username": "$U", "password": "$P"},
			AWSAuth: map[string]string{"aws_access_key_id": "k"},
		}}},
		ResourceClass: "large", Parallelism: 3, Shell: "/bin/sh -e", WorkingDirectory: "~/x",
		Environment: []ci.Var{
			{Name: "S", Value: "s"}, {Name: "N", Value: "3"}, {Name: "B", Value: "true"}, {Name: "NULL"},
			{Name: "F", Value: "1"}, {Name: "G", Value: "0"}, {Name: "T", Value: "is true"},
		},
		Steps: []ci.StepSpec{
			{Kind: ci.StepCheckout},
			{Kind: ci.StepCheckout, Path: "sub", Method: "shallow", Depth: 5},
			{Kind: ci.StepRun, Command: "echo"},
			{
				Kind: ci.StepRun, Name: "all", Command: "make", Shell: "bash", Background: true, WorkingDirectory: "w",
				Environment:     []ci.Var{{Name: "E", Value: "e"}, {Name: "F", Value: "f"}},
				NoOutputTimeout: 75 * time.Minute, When: ci.Always, MaxAutoReruns: 3, AutoRerunDelay: 10 * time.Second,
			},
			{Kind: ci.StepRun, Command: "x", When: ci.OnFail},
			{Kind: ci.StepDeploy, Command: "d"},
			{Kind: ci.StepSaveCache, Keys: []string{"k-{{ epoch }}"}, Paths: []string{"a", "b"}, When: ci.OnFail},
			{Kind: ci.StepRestoreCache, Name: "get", Keys: []string{"a", "b", "c"}},
			{Kind: ci.StepArtifacts, Path: "p", Destination: "d"},
			{Kind: ci.StepTestResults, Path: "r"},
			{Kind: ci.StepPersist, Path: ".", Paths: []string{"a/*"}},
			{Kind: ci.StepAttach, Path: "~"},
			{Kind: ci.StepSSHKeys},
			{Kind: ci.StepSSHKeys, Fingerprints: []string{"aa:bb", "SHA256:x"}},
			{Kind: ci.StepRemoteDocker, LayerCaching: true, Version: "20.10.14"},
		},
	}}
	require.Len(t, plan.Workflows, 1)
	if diff := cmp.Diff([]ci.PlannedJob{want}, plan.Workflows[0].Jobs); diff != "" {
		t.Error(diff)
	}
}

// TestTRB14_MacOSCompiles: a macOS job compiles, with a plain remark that
// nothing here runs it.
func TestTRB14_MacOSCompiles(t *testing.T) {
	plan := compile(t, `
		version: 2.1
		jobs:
		  m: {macos: {xcode: 12.10}, steps: [run: x]}
		  w: {machine: {image: windows-default, docker_layer_caching: true}, resource_class: windows.medium, steps: [run: x]}
		workflows: {w: {jobs: [m, w]}}
	`, config.Options{})
	jobs := plan.Workflows[0].Jobs
	require.Equal(t, ci.Executor{Kind: ci.ExecutorMacOS, Xcode: "12.10"}, jobs[0].Executor)
	require.Equal(t, ci.Executor{Kind: ci.ExecutorMachine, Machine: "windows-default", LayerCaching: true}, jobs[1].Executor)
	require.Len(t, plan.Warnings, 1)
	require.Contains(t, plan.Warnings[0], "this installation has no such machines")
}

func TestTypesAndStatuses(t *testing.T) {
	plan := compile(t, `
		version: 2.1
		setup: true
		jobs: {a: &j {docker: [{image: a}], steps: []}, b: *j, join: {type: no-op}}
		workflows:
		  w:
		    jobs:
		      - a
		      - hold: {type: approval, requires: [a]}
		      - b: {requires: [a: failed, hold: [success, canceled]], context: [x, y]}
		      - join: {requires: [b: terminal, a: [success]], context: z}
	`, config.Options{})
	require.True(t, plan.Setup)
	jobs := plan.Workflows[0].Jobs
	require.Equal(t, ci.JobApproval, jobs[1].Type)
	require.Equal(t, []ci.Requirement{{Job: "a"}}, jobs[1].Requires)
	require.Equal(t, []ci.Requirement{
		{Job: "a", Statuses: []ci.Status{ci.Failed}},
		{Job: "hold", Statuses: []ci.Status{ci.Success, ci.Canceled}},
	}, jobs[2].Requires)
	require.Equal(t, []string{"x", "y"}, jobs[2].Contexts)
	require.Equal(t, ci.JobNoOp, jobs[3].Type)
	require.Equal(t, []ci.Requirement{
		{Job: "b", Statuses: []ci.Status{ci.Success, ci.Failed, ci.Canceled, ci.Unauthorized, ci.NotRun}}, {Job: "a"},
	}, jobs[3].Requires)
}

// TestVersion2: the build job alone, its own branch filter, nested lists of
// steps, raw here-documents.
func TestVersion2(t *testing.T) {
	source := `
		version: 2
		s: &s [checkout, run: one]
		jobs:
		  build:
		    machine: true
		    branches: {only: [main, /rel-.*/]}
		    environment: [A: b, "C=d"]
		    steps:
		      - *s
		      - run: cat <<EOF
		      - type: ignored
		  other: {docker: [{image: a}], steps: []}
	`
	source = strings.Replace(source, "\t\t      - type: ignored\n", "", 1)
	plan := compile(t, source, onBranch("rel-1"))
	require.Equal(t, "workflow/build", jobNames(plan))
	job := plan.Workflows[0].Jobs[0]
	require.Equal(t, ci.Executor{Kind: ci.ExecutorMachine}, job.Executor)
	require.Equal(t, []ci.Var{{Name: "A", Value: "b"}, {Name: "C", Value: "d"}}, job.Environment)
	require.Equal(t, []ci.StepSpec{{Kind: ci.StepCheckout}, {Kind: ci.StepRun, Command: "one"}, {Kind: ci.StepRun, Command: "cat <<EOF"}}, job.Steps)
	require.Empty(t, compile(t, source, onBranch("dev")).Workflows)
	require.Empty(t, compile(t, source, onTag("main")).Workflows)
}

// TestExpandedIsStable: what Process prints is a 2.0 configuration with the
// same plan.
func TestExpandedIsStable(t *testing.T) {
	plan := compile(t, `
		version: 2.1
		commands: {c: {parameters: {x: {type: string}}, steps: [run: "cat \\<<EOF << parameters.x >>"]}}
		jobs: {a: {parameters: {v: {type: string}}, docker: [{image: "a:1"}], environment: {A: "1"}, steps: [c: {x: << parameters.v >>}]}}
		workflows: {w: {jobs: [a: {matrix: {parameters: {v: [p, q]}}}, h: {type: approval, requires: [a]}]}}
	`, onBranch("x"))
	again, err := config.Compile(t.Context(), []byte(plan.Expanded), onBranch("x"))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(plan.Workflows, again.Workflows))
	require.Empty(t, config.Diff(plan, again))
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`10m`: 10 * time.Minute, `1.25h`: 75 * time.Minute, `600`: 600 * time.Second, `"600"`: 600 * time.Second,
		`90s`: 90 * time.Second, `1h30m`: 90 * time.Minute, `0.5m`: 30 * time.Second, `""`: 0, `20 min`: 20 * time.Minute,
		`ten`: -1, `-5m`: -1, `5 parsecs`: -1, `1e9h`: -1, `99999999h`: -1, `.`: -1, `NaN`: -1,
	} {
		plan, err := config.Compile(t.Context(), []byte(`{version: 2.1, jobs: {build: {docker: [{image: a}], steps: [run: {command: x, no_output_timeout: `+text+`}]}}}`), config.Options{})
		if want < 0 {
			require.Error(t, err, text)
			require.Equal(t, "CFG059", config.Errors(err)[0].Code)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, plan.Workflows[0].Jobs[0].Steps[0].NoOutputTimeout, text)
	}
}
