package scheduler_test

import (
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSCH18_JobIDOfTheGuide(t *testing.T) {
	id, err := scheduler.ParseJobID("5a4ea06b7d560d000116830f-0-build-GERey-realitycheck-1")
	require.NoError(t, err)
	require.Equal(t, scheduler.JobID{Build: "5a4ea06b7d560d000116830f", Name: "GERey-realitycheck", Number: 1}, id)
	require.Equal(t, time.Date(2018, 1, 4, 21, 45, 15, 0, time.UTC), id.Queued())
	require.Equal(t, "batch", scheduler.JobType)
	require.Equal(t, 50, scheduler.JobPriority)
}

func TestSCH18_JobIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`[a-z0-9]{1,4}(-[0-9a-z]{1,4}){0,4}`), rapid.String())
		task := ci.Task{
			Job: ci.JobID(ci.NewID()), Org: name.Draw(t, "org"), Repo: name.Draw(t, "repo"),
			Index: rapid.IntRange(0, 1000).Draw(t, "index"), Number: rapid.Int64Range(1, 1<<40).Draw(t, "number"),
			Queued: time.Unix(rapid.Int64Range(0, 1<<32-1).Draw(t, "queued"), 0).UTC(),
		}
		id := scheduler.JobIDOf(task, 1)
		again, err := scheduler.ParseJobID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, again)
		require.Equal(t, task.Queued, id.Queued())
		require.Equal(t, id.Build, scheduler.JobIDOf(task.Slice(3), 1).Build, "all slices of a job share it")
		require.NotEqual(t, id, scheduler.JobIDOf(task, 2), "a task that is handed out again has another name")
	})
}

func TestSCH18_NotJobIDs(t *testing.T) {
	for _, s := range []string{
		"", "x", "5a4ea06b7d560d000116830f", "5a4ea06b7d560d000116830f-0-build-1", "5a4ea06b7d560d000116830f-0-build--1",
		"5a4ea06b7d560d000116830f-00-build-a-b-1", "5a4ea06b7d560d000116830f-0-build-a-b-01", "5a4ea06b7d560d000116830f--1-build-a-b-1",
		"5A4EA06B7D560D000116830F-0-build-a-b-1", "5a4ea06b7d560d000116830-0-build-a-b-1", "5a4ea06b7d560d000116830f-0-test-a-b-1",
		"5a4ea06b7d560d000116830f-0-build-a-b-+1", "5a4ea06b7d560d000116830f-0-build-a-b-",
	} {
		_, err := scheduler.ParseJobID(s)
		require.ErrorIs(t, err, ci.ErrInvalid, s)
	}
}

func FuzzParseJobID(f *testing.F) {
	f.Add("5a4ea06b7d560d000116830f-0-build-GERey-realitycheck-1")
	f.Add("5a4ea06b7d560d000116830f-12-build-a-b-c--1-build-9")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := scheduler.ParseJobID(s)
		if err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
			return
		}
		require.Equal(t, s, id.String())
	})
}
