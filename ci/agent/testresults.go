package agent

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/junit"
)

// maxMessages is how many bytes of failure messages a task keeps in all.
const maxMessages = 16 << 20

// storeTestResults reads JUnit files and stores the tests in them, with those
// of earlier steps. Nothing about the files fails the job.
func (s *session) storeTestResults(_ context.Context, st *step, spec ci.StepSpec) result {
	at := s.absolute(spec.Path, s.dir)
	files := 0
	tests, err := junit.Walk(s.place.Find(at), func(file string, why error) {
		files++
		if files <= 50 {
			fmt.Fprintf(st.out, "Warning: skipped %s: %v\n", s.show(file), why)
		}
	})
	if err != nil {
		fmt.Fprintf(st.out, "No test results: %v\n", err)
		return result{status: ci.Success}
	}
	failures := 0
	for i := range tests {
		t := &tests[i]
		t.Node = s.work.Task.Index
		for _, text := range []*string{&t.Name, &t.Classname, &t.File, &t.Source, &t.Message} {
			*text = s.secrets.String(*text)
		}
		if t.Result == "failure" || t.Result == "error" {
			failures++
		}
	}
	fmt.Fprintf(st.out, "Found %d test results in %s, %d of them failed\n", len(tests), s.show(at), failures)
	if len(tests) == 0 {
		return result{status: ci.Success}
	}
	s.tests = append(s.tests, tests...)
	room := maxMessages
	for i := range s.tests {
		if room -= len(s.tests[i].Message); room < 0 {
			s.tests[i].Message = "[left out: the messages of this job are too long]"
		}
	}
	err = s.lease.do("store test results", func(ctx context.Context, l ci.Lease) error {
		return s.agent.door.PutTests(ctx, l, s.tests)
	})
	if err != nil {
		return result{status: ci.InfraFailed, code: 1, reason: "failed: " + err.Error()}
	}
	return result{status: ci.Success}
}
