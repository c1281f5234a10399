package api

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// Docs keeps the small documents that are the API's own: pipeline definitions,
// their triggers, claims of tokens, addresses of orbs. Any [ci.Docs] is one.
type Docs interface {
	Doc(ctx context.Context, kind, id string) (ci.Doc, error)
	Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error]
	WriteDocs(ctx context.Context, changes ...ci.DocChange) ([]ci.Doc, error)
}

// The kinds of documents that the API keeps. The scope of the first two is the
// project's identity; that of the others the organisation's, or for claims that
// of a project.
const (
	docDefinition = "pipeline-definition"
	docTrigger    = "pipeline-trigger"
	docClaims     = "oidc-claims"
	docOrbPrefix  = "url-orb-prefix"
	docPolicy     = "policy-settings"
	docExport     = "usage-export"
)

// A kept is a document with its body read.
type kept[T any] struct {
	ci.Doc
	is T
}

// readDoc returns the document of an identity if it belongs to the scope.
func readDoc[T any](c *call, kind, scope, id string) (kept[T], error) {
	var k kept[T]
	if c.cfg.Chapters.Docs == nil {
		return k, ci.ErrNotFound
	}
	d, err := c.cfg.Chapters.Docs.Doc(c.r.Context(), kind, id)
	if err == nil && d.Scope != scope {
		err = ci.ErrNotFound
	}
	if err != nil {
		return k, err
	}
	k.Doc = d
	return k, k.read()
}

func (k *kept[T]) read() error {
	if err := json.Unmarshal(k.Body, &k.is); err != nil {
		return fmt.Errorf("read %s %s: %w", k.Kind, k.ID, err)
	}
	return nil
}

// readDocs returns all documents of a kind in a scope, by name.
func readDocs[T any](c *call, kind, scope string) ([]kept[T], error) {
	if c.cfg.Chapters.Docs == nil {
		return nil, nil
	}
	var all []kept[T]
	for d, err := range c.cfg.Chapters.Docs.Docs(c.r.Context(), ci.DocQuery{Kind: kind, Scope: scope}) {
		if err != nil {
			return nil, err
		}
		k := kept[T]{Doc: d}
		if err := k.read(); err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// write keeps a document: a new one if its Version is 0.
func (k *kept[T]) write(c *call) error {
	if c.cfg.Chapters.Docs == nil {
		return absent("place to keep this in")
	}
	if k.Version == 0 {
		if err := k.room(c); err != nil {
			return err
		}
	}
	body, err := json.Marshal(k.is)
	if err != nil {
		return err
	}
	k.Body = body
	docs, err := c.cfg.Chapters.Docs.WriteDocs(c.r.Context(), ci.DocChange{Doc: k.Doc})
	if err == nil {
		k.Doc = docs[0]
	}
	return err
}

// maxKept is how many documents of a kind a scope may have: they are read as a
// whole.
const maxKept = 200

// room refuses a new document where there are too many.
func (k *kept[T]) room(c *call) error {
	n, err := ci.CountDocs(c.cfg.Chapters.Docs.Docs(c.r.Context(), ci.DocQuery{Kind: k.Kind, Scope: k.Scope, Limit: maxKept}))
	if err == nil && n >= maxKept {
		err = refuse(http.StatusConflict, fmt.Sprintf("There are %d already. Delete one that nobody needs.", n))
	}
	return err
}

// remove deletes a document as it was read.
func (k *kept[T]) remove(c *call) error {
	_, err := c.cfg.Chapters.Docs.WriteDocs(c.r.Context(), ci.DocChange{Doc: k.Doc, Delete: true})
	return err
}
