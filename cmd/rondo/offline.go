package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"go.yaml.in/yaml/v3"
)

// detached is the branch that jobs see where none is checked out.
const detached = "detached"

// offline is a run before it starts: what runs, from where.
type offline struct {
	flags   runFlags
	repo    *local.Repo // nil outside a repository
	dir     string      // top of the working copy
	cache   string      // folder that outlives the run
	project ci.Project
	trigger ci.Trigger
	plan    ci.Plan
}

// prepare finds the working copy, compiles its configuration and chooses what
// runs. Mistakes in the configuration have been printed when it returns a
// codeError without a text.
func prepare(ctx context.Context, f runFlags) (*offline, error) {
	o := &offline{flags: f}
	if f.alone && f.job == "" {
		return nil, codeError{exitUsage, errors.New("--alone needs --job")}
	}
	if err := o.locate(ctx); err != nil {
		return nil, err
	}
	file := f.config
	if file == "" {
		file = filepath.Join(o.dir, filepath.FromSlash(engine.ConfigFile))
	}
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, codeError{exitUsage, fmt.Errorf("read the configuration: %w (name one with --config)", err)}
	}
	given, err := settings(f.parameters)
	if err != nil {
		return nil, codeError{exitUsage, fmt.Errorf("--parameter: %w", err)}
	}
	o.trigger.Parameters = typed(source, given)
	name := engine.ConfigFile
	if f.config != "" {
		name = f.config
	}
	options := config.Options{
		File: name, Parameters: o.trigger.Parameters,
		Values: engine.Values(o.project, ci.Pipeline{ID: ci.PipelineID(ci.NewID()), Number: 1, Trigger: o.trigger}),
	}
	if options.Orbs, err = orbFolder(f.orbs); err != nil {
		return nil, err
	}
	o.plan, err = config.Compile(ctx, source, options)
	if err != nil {
		return nil, refused(err)
	}
	for _, w := range o.plan.Warnings {
		note("warning: %s", w)
	}
	o.plan, err = choose(o.plan, f.workflow, f.job, f.alone)
	if err != nil {
		return nil, codeError{exitUsage, err}
	}
	for _, name := range f.approve {
		if approvals := approvalNames(o.plan); name != "all" && !slices.Contains(approvals, name) {
			note("warning: --approve %s: no such approval job runs here; there are: %s", name, list(approvals))
		}
	}
	return o, nil
}

// locate finds the working copy and says what is checked out there.
func (o *offline) locate(ctx context.Context) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	o.dir = here
	o.project = ci.Project{Slug: "local/" + filepath.Base(filepath.Dir(here)) + "/" + filepath.Base(here), Org: "local", Repo: filepath.Base(here)}
	o.trigger = ci.Trigger{
		Source: ci.SourceAPI, Branch: o.flags.branch, Tag: o.flags.tag, Revision: strings.Repeat("0", 40),
		Actor: ci.Actor{Kind: ci.ActorUser, Login: login()},
	}
	o.repo, err = local.Open(ctx, here)
	switch {
	case err == nil:
		o.dir, o.project = o.repo.Dir(), o.repo.Project()
		branch, revision, err := o.repo.Head(ctx)
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			return err
		}
		if o.trigger.Branch == "" && o.trigger.Tag == "" {
			if branch == "" {
				branch = detached
				note("no branch is checked out: jobs see the branch %q; choose another with --branch", branch)
			}
			o.trigger.Branch = branch
		}
		if revision != "" {
			o.trigger.Revision = revision
		}
	case !errors.Is(err, ci.ErrNotFound):
		return err
	}
	switch {
	case o.trigger.Branch != "" && o.trigger.Tag != "":
		return codeError{exitUsage, errors.New("choose --branch or --tag, not both")}
	case o.trigger.Branch == "" && o.trigger.Tag == "":
		o.trigger.Branch = "HEAD"
	}
	sum := sha256.Sum256([]byte(o.dir))
	o.project.ID = ci.ProjectID(hex.EncodeToString(sum[:16]))
	o.trigger.Project = o.project.ID
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	o.cache = filepath.Join(base, "rondo", filepath.Base(o.dir)+"-"+hex.EncodeToString(sum[:4]))
	return nil
}

// snapshot makes the working copy a commit that jobs can check out, if some
// job does. The returned function removes it.
func (o *offline) snapshot(ctx context.Context) (func(), error) {
	if !hasStep(o.plan, ci.StepCheckout) {
		return func() {}, nil
	}
	if o.repo == nil {
		return nil, fmt.Errorf("a job checks out the code, but %s is not in a git repository: run 'git init' there first", o.dir)
	}
	s, err := o.repo.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("snapshot of the working copy: %w", err)
	}
	for _, w := range s.Warnings {
		note("warning: %s", w)
	}
	o.project.CloneURL, o.trigger.Revision = s.URL, s.Revision
	return func() { _ = s.Close() }, nil
}

// secrets returns the variables of --env.
func (f runFlags) secrets() ([]ci.Var, error) {
	var vars []ci.Var
	for _, e := range f.env {
		name, value, found := strings.Cut(e, "=")
		if name == "" {
			return nil, codeError{exitUsage, fmt.Errorf("--env %q: no name", e)}
		}
		if !found {
			if value, found = os.LookupEnv(name); !found {
				return nil, codeError{exitUsage, fmt.Errorf("--env %s: you have no such variable", name)}
			}
		}
		vars = append(vars, ci.Var{Name: name, Value: value, Secret: true})
	}
	return vars, nil
}

// approves reports whether --approve names the job.
func (f runFlags) approves(job string) bool {
	for _, a := range f.approve {
		if a == job || a == "all" {
			return true
		}
	}
	return false
}

// typed gives the values of -p the types that the configuration declares. What
// does not fit stays text, for the compiler to complain about.
func typed(source []byte, given map[string]string) map[string]any {
	var declared struct {
		Parameters map[string]struct {
			Type string `yaml:"type"`
		} `yaml:"parameters"`
	}
	_ = yaml.Unmarshal(source, &declared) // the compiler reports mistakes
	values := make(map[string]any, len(given))
	for key, text := range given {
		values[key] = text
		switch declared.Parameters[key].Type {
		case "boolean":
			if b, err := strconv.ParseBool(text); err == nil {
				values[key] = b
			}
		case "integer":
			if n, err := strconv.Atoi(text); err == nil {
				values[key] = n
			}
		}
	}
	return values
}

// login is who runs this, for the records of the run.
func login() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "you"
}

// since is the time from start in seconds.
func since(start time.Time) float64 { return time.Since(start).Seconds() }
