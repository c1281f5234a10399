package web

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Chapters are what an installation offers beyond its pipelines, and who may
// have it. The pages of one that is nil are not linked, and say why they are
// not there.
type Chapters struct {
	Contexts  ci.Contexts
	Variables ci.Variables
	Keys      ci.Keys
	Schedules ci.Schedules
	Webhooks  ci.Webhooks
	Tokens    Tokens
	Account   Account
	Audit     Audit
	Users     Users
	Directory Directory
	// Installation has settings that are changed on a page.
	Installation Installation
	// PutProject writes the settings of a project.
	PutProject func(ctx context.Context, p ci.Project) error
	// Follow makes the code host tell of pushes to a repository, by its slug,
	// and creates the project if it is new; with follow false it stops that.
	Follow func(ctx context.Context, slug string, follow bool, by ci.Actor) (ci.Project, error)
	// Orgs lists the slugs of the organisations that the actor belongs to. nil
	// takes those of the projects.
	Orgs func(ctx context.Context, by ci.Actor) ([]string, error)
	// May says whether the actor may read the project, or change things in it:
	// nil, [ci.ErrDenied], or [ci.ErrNotFound] when the actor may not even know
	// that it exists. MayOrg is the same for what belongs to an organisation.
	// nil allows everything to whom Config.Authorize lets in.
	May    func(ctx context.Context, by ci.Actor, p ci.Project, write bool) error
	MayOrg func(ctx context.Context, by ci.Actor, org string, write bool) error
	// MaySettings says whether the actor may change the settings of a project
	// that take one of its administrators. nil allows it to who may change the
	// project.
	MaySettings func(ctx context.Context, by ci.Actor, p ci.Project) error
	// NextRuns returns the next n times at which a timetable triggers. What is
	// wrong with it is [ci.ErrInvalid]. nil shows no preview.
	NextRuns func(t ci.Timetable, after time.Time, n int) ([]time.Time, error)
	// Badge returns the path of a project's badge as SVG; branch "" is the
	// default one. nil has no badges.
	Badge func(p ci.Project, branch string) string
	// Address is where people find this installation, as in
	// "https://ci.example". With "" what people copy lacks it.
	Address string
}

// An absent is a page of a chapter that this installation does not have. It is
// ci.ErrNotFound.
type absent struct{ what string }

func (a absent) Error() string { return fmt.Sprintf("this installation has no %s", a.what) }

func (a absent) Unwrap() error { return ci.ErrNotFound }
