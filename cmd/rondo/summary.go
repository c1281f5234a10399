package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// summary collects how the run ended, and copies the artifacts to where people
// find them.
func (x *execution) summary(ctx context.Context, id ci.PipelineID) (summary, error) {
	s := summary{Status: ci.Success, Seconds: since(x.started), Tests: map[string]int{}}
	workflows, err := x.engine.DB.Workflows(ctx, id)
	if err != nil {
		return s, err
	}
	for _, w := range workflows {
		s.Status = worse(s.Status, w.Status)
		for i := range w.Jobs {
			j, err := x.jobSummary(ctx, &w, &w.Jobs[i], &s)
			if err != nil {
				return s, err
			}
			s.Jobs = append(s.Jobs, j)
		}
	}
	return s, nil
}

// jobSummary collects how a job ended and adds its tests and artifacts to s.
func (x *execution) jobSummary(ctx context.Context, w *ci.Workflow, j *ci.Job, s *summary) (jobSummary, error) {
	out := jobSummary{Workflow: w.Name, Name: j.Name, Status: j.Status, Reason: j.Reason}
	if !j.Started.IsZero() && !j.Stopped.IsZero() {
		out.Seconds = j.Stopped.Sub(j.Started).Seconds()
	}
	if j.Status == ci.OnHold {
		s.Holding = append(s.Holding, j.Name)
	}
	if j.Type != ci.JobBuild {
		return out, nil
	}
	tests, err := x.engine.DB.Tests(ctx, j.ID)
	if err != nil {
		return out, err
	}
	for _, t := range tests {
		s.Tests[t.Result]++
		if t.Result == "failure" || t.Result == "error" {
			out.Failed = append(out.Failed, t.Classname+" "+t.Name)
		}
	}
	if j.Status == ci.Success && len(tests) > 0 {
		if err := x.tap.timings.save(j.Name, tests); err != nil {
			note("warning: keep timings of tests: %v", err)
		}
	}
	for node, t := range j.Tasks {
		like := ci.File{Kind: ci.FileArtifact, Task: j.ID.Task(node), Epoch: t.Epoch}
		for f, err := range x.engine.Files.FindFiles(ctx, x.project.ID, like) {
			if err != nil {
				return out, err
			}
			folder := strings.NewReplacer("/", "-", "\\", "-").Replace(j.Name)
			name := filepath.Join(folder, filepath.FromSlash(f.Name))
			if len(j.Tasks) > 1 {
				name = filepath.Join(folder, strconv.Itoa(node), filepath.FromSlash(f.Name))
			}
			dir, err := x.artifactDir()
			if err != nil {
				return out, fmt.Errorf("folder for artifacts: %w", err)
			}
			if err := x.keepArtifact(ctx, f, dir, name); err != nil {
				return out, fmt.Errorf("artifact %s: %w", name, err)
			}
			out.Artifacts = append(out.Artifacts, name)
			s.Artifacts = dir
		}
	}
	return out, nil
}

// artifactDir is the folder that receives the artifacts: by default a new one
// for each run.
func (x *execution) artifactDir() (string, error) {
	if x.artifacts == "" {
		dir := x.flags.artifacts
		if dir == "" {
			dir = filepath.Join(x.cache, "artifacts")
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		var err error
		if x.flags.artifacts == "" {
			dir, err = os.MkdirTemp(dir, x.started.Format("20060102-150405-"))
		} else {
			dir, err = filepath.Abs(dir)
		}
		if err != nil {
			return "", err
		}
		x.artifacts = dir
	}
	return x.artifacts, nil
}

// tidy removes what the run has stored for itself alone. Caches stay.
func (x *execution) tidy(ctx context.Context, id ci.PipelineID) {
	workflows, err := x.engine.DB.Workflows(ctx, id)
	if err != nil {
		return
	}
	for _, w := range workflows {
		for i := range w.Jobs {
			for node := range w.Jobs[i].Tasks {
				task := string(w.Jobs[i].ID.Task(node))
				for _, kind := range []string{"artifacts", "workspaces"} { // as storage.Files lays them out
					_ = os.RemoveAll(filepath.Join(x.cache, "files", kind, task))
				}
			}
		}
	}
}

// keepArtifact copies an artifact. Its name cannot lead out of the folder.
func (x *execution) keepArtifact(ctx context.Context, f ci.File, dir, name string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	from, err := x.engine.Files.OpenFile(ctx, x.project.ID, f)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if e := to.Close(); err == nil {
		err = e
	}
	return err
}

// worse returns the status that matters more for the whole run.
func worse(a, b ci.Status) ci.Status {
	rank := func(s ci.Status) int {
		switch s {
		case ci.Success:
			return 0
		case ci.NotRun:
			return 1
		case ci.OnHold:
			return 2
		case ci.Canceled:
			return 3
		}
		return 4
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}
