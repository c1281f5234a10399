package ci_test

import (
	"regexp"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func TestNewID_IsUniqueAndOrdered(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	var mu sync.Mutex
	seen := map[string]bool{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var last string
			for range 2000 {
				id := ci.NewID()
				if len(last) > 0 && id[:13] < last[:13] { // the part that is time
					t.Errorf("%s was made after %s", id, last)
				}
				last = id
				mu.Lock()
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Len(t, seen, 8000)
	for id := range seen {
		require.Regexp(t, form, id)
	}
}

func TestTaskID_Split(t *testing.T) {
	tests := []struct {
		id    ci.TaskID
		job   ci.JobID
		index int
		ok    bool
	}{
		{"j.0", "j", 0, true},
		{"j.17", "j", 17, true},
		{"", "", 0, false},
		{"j", "", 0, false},
		{"j.", "", 0, false},
		{".0", "", 0, false},
		{"j.-1", "", 0, false},
		{"j.-0", "", 0, false},
		{"j.+1", "", 0, false},
		{"j.01", "", 0, false},
		{"j. 1", "", 0, false},
		{"j.1.2", "", 0, false},
		{"j.0x1", "", 0, false},
		{"j.1_0", "", 0, false},
		{"j.99999999999999999999", "", 0, false},
	}
	for _, tt := range tests {
		job, index, ok := tt.id.Split()
		require.Equal(t, tt.ok, ok, "%q", tt.id)
		if ok {
			require.Equal(t, tt.job, job)
			require.Equal(t, tt.index, index)
		}
	}
}

// Whatever splits is what Task makes of the parts.
func FuzzTaskID_Split(f *testing.F) {
	for _, s := range []string{"j.0", "j.17", "j.+1", ".", "a.b.0", "j.007"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if job, index, ok := ci.TaskID(s).Split(); ok && job.Task(index) != ci.TaskID(s) {
			t.Errorf("%q splits into %q and %d, which make %q", s, job, index, job.Task(index))
		}
	})
}

func TestActor_String(t *testing.T) {
	require.Equal(t, "system", ci.Actor{}.String())
	require.Equal(t, "alice", alice.String())
	require.Equal(t, "schedule", ci.Actor{Kind: ci.ActorSchedule}.String())
}

func TestPlan_Job(t *testing.T) {
	p := ci.Plan{Workflows: []ci.PlannedWorkflow{{Name: "w", Jobs: planned("a", "b").Jobs}, {Name: "v", Jobs: planned("a*3").Jobs}}}
	j, ok := p.Job("v", "a")
	require.True(t, ok)
	require.Equal(t, 3, j.Parallelism)
	for _, miss := range [][2]string{{"v", "b"}, {"x", "a"}, {"", ""}} {
		_, ok := p.Job(miss[0], miss[1])
		require.False(t, ok, "%v", miss)
	}
}
