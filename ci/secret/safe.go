package secret

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// A Keeper seals values with keys that only it knows. place says where the
// sealed value is kept: kind, scope, ID and name of its document. What was
// sealed for one place does not open in another, which is an error like any
// other damage. Errors never hold what is sealed. Both methods are safe for
// concurrent use. Suite secrettest says what a Keeper must do.
type Keeper interface {
	Seal(ctx context.Context, place []string, plain []byte) (string, error)
	Open(ctx context.Context, place []string, sealed string) ([]byte, error)
}

// AllMembers is the group of everybody in an organisation.
const AllMembers = "All members"

// Config holds what a [Safe] is told about its surroundings. An error of any of
// these functions refuses what was asked for.
type Config struct {
	// Values returns the values of expressions by full name, as in
	// "pipeline.git.branch"; job.ssh.enabled is false if it does not say. With
	// nil there are none, so expressions that ask for one deny.
	Values func(n ci.Need) map[string]any
	// Groups returns the names of the groups of an organisation that the actor
	// is in now, [AllMembers] among them for a member. With nil everybody is
	// in AllMembers and in no other.
	Groups func(ctx context.Context, org string, of ci.Actor) ([]string, error)
	// Admin says whether the actor is an administrator of the organisation:
	// one needs no group, and only one may change restrictions. With nil
	// everybody may change them and nobody does without a group.
	Admin func(ctx context.Context, org string, of ci.Actor) (bool, error)
	// May says whether the actor may change the contexts of the organisation,
	// as that of the same name in ci/api does. nil lets everybody. Who may
	// change a project's variables and keys is for the caller to ask.
	May func(ctx context.Context, by ci.Actor, org string, write bool) error
	// Project looks up a project. With nil, IDs of projects are taken as they
	// come and have no names.
	Project func(ctx context.Context, id ci.ProjectID) (ci.Project, error)
	// CodeHost tells the code host of a project to accept a checkout key, or
	// no longer to. nil tells nobody.
	CodeHost func(ctx context.Context, p ci.ProjectID, k ci.Key, accept bool, by ci.Actor) error
	// Note keeps the record of who did what: it returns what is to be written
	// in the transaction of the act, and is called before each change, before
	// secrets are handed out, and when they are denied. An act that touches
	// the code host first is announced in a transaction of its own, with
	// "phase" "announced" in its target, and so is what was refused or went
	// wrong. Its error refuses the act. nil keeps no record.
	Note func(ctx context.Context, act ci.Act) ([]ci.DocChange, error)
}

// A Safe keeps contexts, variables and keys. It keeps nothing in memory. All
// methods are safe for concurrent use, also by several processes over one
// database.
type Safe struct {
	docs   ci.Docs
	keeper Keeper
	cfg    Config
}

// New returns the safe over the documents.
func New(docs ci.Docs, k Keeper, cfg Config) *Safe {
	if cfg.Values == nil {
		cfg.Values = func(ci.Need) map[string]any { return nil }
	}
	if cfg.Groups == nil {
		cfg.Groups = func(context.Context, string, ci.Actor) ([]string, error) { return []string{AllMembers}, nil }
	}
	if cfg.May == nil {
		cfg.May = func(context.Context, ci.Actor, string, bool) error { return nil }
	}
	if cfg.Project == nil {
		cfg.Project = func(_ context.Context, id ci.ProjectID) (ci.Project, error) { return ci.Project{ID: id}, nil }
	}
	if cfg.CodeHost == nil {
		cfg.CodeHost = func(context.Context, ci.ProjectID, ci.Key, bool, ci.Actor) error { return nil }
	}
	if cfg.Note == nil {
		cfg.Note = func(context.Context, ci.Act) ([]ci.DocChange, error) { return nil, nil }
	}
	return &Safe{docs: docs, keeper: k, cfg: cfg}
}

// Kinds returns the kinds of the documents that have sealed values, for whoever
// seals them anew.
func Kinds() []string { return []string{kindVariable, kindProjectVariable, kindKey} }

// admin reports whether the actor is known as an administrator.
func (s *Safe) admin(ctx context.Context, org string, of ci.Actor) (bool, error) {
	if s.cfg.Admin == nil {
		return false, nil
	}
	return s.cfg.Admin(ctx, org, of)
}

// place is where the sealed part of a document is kept.
func place(d ci.Doc) []string { return []string{d.Kind, d.Scope, d.ID, d.Name} }

// seal puts a value into the document, which has its kind, scope, ID and name.
func (s *Safe) seal(ctx context.Context, d *ci.Doc, plain []byte) error {
	sealed, err := s.keeper.Seal(ctx, place(*d), plain)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	d.Sealed = sealed
	return nil
}

// open returns the value in the document.
func (s *Safe) open(ctx context.Context, d ci.Doc) (string, error) {
	plain, err := s.keeper.Open(ctx, place(d), d.Sealed)
	if err != nil {
		return "", fmt.Errorf("open %s %s: %w", d.Kind, d.Name, asFault(err))
	}
	defer clear(plain)
	return string(plain), nil
}

// asFault returns the error of somebody who was asked, such that it is not
// taken for a denial of what a job asks for: a job that is denied is not tried
// again.
func asFault(err error) error {
	if errors.Is(err, ci.ErrDenied) {
		return errors.New(err.Error())
	}
	return err
}

// all returns the documents of a kind and scope by name.
func (s *Safe) all(ctx context.Context, kind, scope string) ([]ci.Doc, error) {
	return collect(s.docs.Docs(ctx, ci.DocQuery{Kind: kind, Scope: scope}))
}

func collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var out []T
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
