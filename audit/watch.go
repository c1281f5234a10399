package audit

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A noun is a kind of documents whose changes by people are acts.
type noun struct{ kind, word, says string }

// watched are the documents of other chapters that people change.
func watched() []noun {
	return []noun{
		{"schedule", "schedule", "a scheduled pipeline"},
		{"webhook", "webhook", "an outbound webhook"},
		{"project-token", "project_token", "a token of a project"},
		{"personal-token", "personal_token", "a token of a person"},
		{"orb", "orb", "an orb"},
		{"orb-namespace", "orb_namespace", "a namespace of orbs"},
		{"orb-version", "orb_version", "a version of an orb"},
		{"pipeline-definition", "definition", "a pipeline definition"},
		{"pipeline-trigger", "trigger", "a trigger of a pipeline definition"},
	}
}

// Docs returns docs such that whoever changes a document of a watched kind on
// behalf of a request ([ci.RequestIn] with an actor) has the event written in
// the same transaction. What chapters write by themselves is no act.
func (b *Book) Docs(docs ci.Docs) ci.Docs { return watching{under: docs, book: b} }

// under is what is watched; its other methods are passed on as they are.
type under = ci.Docs

type watching struct {
	under
	book *Book
}

func (w watching) WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error) {
	r := ci.RequestIn(ctx)
	if r.Actor == (ci.Actor{}) {
		return w.under.WriteDocs(ctx, changes...)
	}
	all := slices.Clone(changes)
	for _, c := range changes {
		nouns := watched()
		i := slices.IndexFunc(nouns, func(n noun) bool { return n.kind == c.Doc.Kind })
		if i < 0 {
			continue
		}
		verb, err := w.verb(ctx, c)
		if err != nil {
			return nil, err
		}
		target := map[string]string{"type": nouns[i].word, "id": c.Doc.ID, "name": c.Doc.Name, "scope": c.Doc.Scope}
		if strings.HasSuffix(c.Doc.Kind, "-token") {
			target["id"] = c.Doc.Name // its ID is the hash of the token
		}
		more, err := w.book.Draft(ctx, ci.Act{Action: "rondo." + nouns[i].word + "." + verb, Actor: r.Actor, Success: true, Target: target})
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	kept, err := w.under.WriteDocs(ctx, all...)
	if err != nil {
		return nil, err
	}
	return kept[:len(changes)], nil
}

// verb says what the change does.
func (w watching) verb(ctx context.Context, c ci.DocChange) (string, error) {
	if c.Delete {
		return "delete", nil
	}
	_, err := w.Doc(ctx, c.Doc.Kind, c.Doc.ID)
	switch {
	case errors.Is(err, ci.ErrNotFound):
		return "create", nil
	case err != nil:
		return "", err
	}
	return "update", nil
}
