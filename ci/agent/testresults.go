package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/junit"
)

// What a task keeps of all its test results, in bytes: of failure messages,
// and of everything as it is sent. A server takes somewhat more.
const (
	maxMessages = 16 << 20
	maxResults  = 100 << 20
)

// storeTestResults reads JUnit files and stores the tests in them, with those
// of earlier steps. Nothing about the files fails the job.
func (s *session) storeTestResults(_ context.Context, st *step, spec ci.StepSpec) result {
	at := s.absolute(spec.Path, s.dir)
	files := 0
	var tests []ci.Test
	err := s.within(func() (err error) {
		tests, err = junit.Walk(at, func(file string, why error) {
			files++
			if files <= 50 {
				fmt.Fprintf(st.out, "Warning: skipped %s: %v\n", s.show(file), why)
			}
		})
		return err
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
			s.tests[i].Message = junit.Left
		}
	}
	if n := fitting(s.tests); n < len(s.tests) {
		fmt.Fprintf(st.out, "Warning: left out %d test results: those of this job are too large\n", len(s.tests)-n)
		s.tests = s.tests[:n]
	}
	err = s.lease.do("store test results", func(ctx context.Context, l ci.Lease) error {
		return s.agent.door.PutTests(ctx, l, s.tests)
	})
	if err != nil {
		return result{status: ci.InfraFailed, code: 1, reason: "failed: " + err.Error()}
	}
	return result{status: ci.Success}
}

// fitting returns how many of the tests can be kept.
func fitting(tests []ci.Test) int {
	room := maxResults
	for i := range tests {
		b, err := json.Marshal(&tests[i])
		if room -= len(b) + 1; room < 0 || err != nil {
			return i
		}
	}
	return len(tests)
}
