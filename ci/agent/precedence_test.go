package agent_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

// The six places in which a variable can be set, from strong to weak.
const (
	inCommand = iota
	inStep
	inJob
	builtIn
	inContext
	inProject
	places
)

// TestCFG_PrecedencePairs sets a variable in two places for each of the 15
// pairs of places, all in one job, and looks at what the command sees.
func TestCFG_PrecedencePairs(t *testing.T) {
	// What is built in has a name and a value of its own.
	builtIns := []struct{ name, value string }{
		{"CIRCLECI", "true"}, {"CIRCLE_JOB", "build"}, {"CIRCLE_NODE_TOTAL", "1"}, {"CIRCLE_BUILD_NUM", "7"}, {"CIRCLE_STAGE", "build"},
	}
	w := agenttest.Work()
	step := ci.StepSpec{Kind: ci.StepRun}
	var command []string
	var contexts []ci.Var
	want := map[string]string{}
	var names []string
	for strong := range places {
		for weak := strong + 1; weak < places; weak++ {
			name, value := fmt.Sprintf("V%d%d", strong, weak), fmt.Sprintf("of %d", strong)
			if strong == builtIn || weak == builtIn {
				b := builtIns[0]
				builtIns = builtIns[1:]
				if name = b.name; strong == builtIn {
					value = b.value
				}
			}
			want[name] = value
			names = append(names, name)
			for _, place := range []int{strong, weak} {
				v := ci.Var{Name: name, Value: fmt.Sprintf("of %d", place)}
				switch place {
				case inCommand:
					command = append(command, fmt.Sprintf("%s='%s'", v.Name, v.Value))
				case inStep:
					step.Environment = append(step.Environment, v)
				case inJob:
					w.Job.Environment = append(w.Job.Environment, v)
				case inContext:
					contexts = append(contexts, v)
				case inProject:
					w.Environment = append(w.Environment, v)
				}
			}
		}
	}
	w.Environment = append(w.Environment, contexts...) // weakest first
	require.Len(t, names, 15)
	require.Empty(t, builtIns)
	step.Command = strings.Join(command, " ") + ` sh -c 'for n; do eval "echo $n=\$$n"; done' - ` + strings.Join(names, " ")
	w.Job.Steps = []ci.StepSpec{step}

	s := new(agenttest.Server)
	require.Equal(t, ci.Success, run(t, s, w).Status)
	got := map[string]string{}
	for line := range strings.Lines(s.Output(w.Lease.Task, 1)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[name] = value
	}
	require.Equal(t, want, got)
}
