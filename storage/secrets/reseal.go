package secrets

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// A Progress says how far [Keeper.Reseal] is.
type Progress struct {
	Pass int    // counted from 1
	Kind string // of the document that was last
	ID   string
	// Seen counts the sealed documents of this pass, Resealed those of all
	// passes that were written, Failed those of this pass that could not be.
	Seen     int
	Resealed int
	Failed   int
}

// resealBatch is how many documents are read, rewrapped and written at once.
const resealBatch = 500

// resealPasses bounds how often Reseal starts over because others were faster.
const resealPasses = 20

// Reseal has every document of the keeper's kinds follow to the primary key of
// the primary backend. What is there already it passes over, so it may be
// stopped and called again at any time, and by several at once. Others may
// write meanwhile: a document that they change is looked at anew, and Reseal
// ends when it has gone through all of them and found nothing to do. Times of
// documents stay; versions grow.
//
// A document that cannot be read is left as it is; the others go on, and the
// error at the end names the first. tell, if not nil, hears of each batch.
func (k *Keeper) Reseal(ctx context.Context, docs ci.Docs, tell func(Progress)) (Progress, error) {
	r := &resealing{k: k, docs: docs, tell: tell}
	for r.at.Pass = 1; ; r.at.Pass++ {
		more, err := r.pass(ctx)
		switch {
		case err != nil:
			return r.at, fmt.Errorf("reseal documents: %w", err)
		case !more && r.failed != nil:
			return r.at, fmt.Errorf("reseal documents: %d cannot be, the first is: %w", r.at.Failed, r.failed)
		case !more:
			k.cfg.Log.Info("documents are resealed", "seen", r.at.Seen, "resealed", r.at.Resealed)
			return r.at, nil
		case r.at.Pass == resealPasses:
			return r.at, fmt.Errorf("reseal documents: after %d passes some still come under an old key: does another process seal with one? %w", resealPasses, ci.ErrConflict)
		}
	}
}

// A resealing is one run of Reseal.
type resealing struct {
	k      *Keeper
	docs   ci.Docs
	tell   func(Progress)
	at     Progress
	failed error // of the first document in this pass
}

// pass goes through all documents, and reports whether another pass is needed.
func (r *resealing) pass(ctx context.Context) (more bool, err error) {
	to := r.k.head()
	primary, err := to.Primary(ctx)
	if err != nil {
		return false, err
	}
	r.at.Seen, r.at.Failed, r.failed = 0, 0, nil
	for _, kind := range r.k.cfg.Kinds {
		for after := ""; ; {
			batch, err := page(ctx, r.docs, kind, after)
			if err != nil {
				return false, err
			}
			if len(batch) == 0 {
				break
			}
			after = batch[len(batch)-1].ID
			touched, err := r.batch(ctx, to, primary, batch)
			if err != nil {
				return false, err
			}
			more = more || touched
			r.at.Kind, r.at.ID = kind, after
			if r.tell != nil {
				r.tell(r.at)
			}
		}
	}
	return more, nil
}

// page reads the next documents of a kind.
func page(ctx context.Context, docs ci.Docs, kind, after string) ([]ci.Doc, error) {
	var all []ci.Doc
	for d, err := range docs.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true, After: after, Limit: resealBatch}) {
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// batch reseals what of the documents needs it, and reports whether it did, or
// whether somebody else was faster.
func (r *resealing) batch(ctx context.Context, to Backend, primary string, batch []ci.Doc) (touched bool, err error) {
	var old []ci.Doc
	for _, d := range batch {
		if d.Sealed == "" {
			continue
		}
		r.at.Seen++
		if backend, key, err := SealedBy(d.Sealed); err != nil || backend != to.Name() || key != primary {
			old = append(old, d)
		}
	}
	if len(old) == 0 {
		return false, nil
	}
	changes, err := r.rewrap(ctx, to, primary, old)
	if err != nil {
		return false, err
	}
	return r.write(ctx, changes)
}

// rewrap returns the changes. If the documents cannot be rewrapped together,
// each has its own try.
func (r *resealing) rewrap(ctx context.Context, to Backend, primary string, old []ci.Doc) ([]ci.DocChange, error) {
	var sealed []string
	for _, d := range old {
		sealed = append(sealed, d.Sealed)
	}
	fresh, err := r.k.rewrapAll(ctx, to, primary, sealed)
	switch {
	case err == nil:
		changes := make([]ci.DocChange, len(old))
		for i, d := range old {
			d.Sealed = fresh[i]
			changes[i] = ci.DocChange{Doc: d}
		}
		return changes, nil
	case !hopeless(err):
		return nil, err
	case len(old) == 1:
		d := old[0]
		r.at.Failed++
		if r.failed == nil {
			r.failed = fmt.Errorf("%s %s: %w", d.Kind, d.ID, err)
		}
		r.k.cfg.Log.Error("reseal a document", "kind", d.Kind, "id", d.ID, "error", err)
		return nil, nil
	}
	var changes []ci.DocChange
	for _, half := range [][]ci.Doc{old[:len(old)/2], old[len(old)/2:]} {
		some, err := r.rewrap(ctx, to, primary, half)
		if err != nil {
			return nil, err
		}
		changes = append(changes, some...)
	}
	return changes, nil
}

// write does the changes, together if nobody else was faster. A document that
// somebody has changed or deleted meanwhile is left for the next pass.
func (r *resealing) write(ctx context.Context, changes []ci.DocChange) (touched bool, err error) {
	if len(changes) == 0 {
		return false, nil
	}
	_, err = r.docs.WriteDocs(ctx, changes...)
	switch {
	case err == nil:
		r.at.Resealed += len(changes)
		return true, nil
	case !errors.Is(err, ci.ErrConflict):
		return false, err
	case len(changes) == 1:
		return true, nil
	}
	for _, half := range [][]ci.DocChange{changes[:len(changes)/2], changes[len(changes)/2:]} {
		if _, err := r.write(ctx, half); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Uses counts the documents of the keeper's kinds that need a key, by key.
func (k *Keeper) Uses(ctx context.Context, docs ci.Docs) (map[Use]int, error) {
	uses := map[Use]int{}
	for _, kind := range k.cfg.Kinds {
		for d, err := range docs.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
			if err != nil {
				return nil, fmt.Errorf("count uses of keys: %w", err)
			}
			if d.Sealed == "" {
				continue
			}
			backend, key, err := SealedBy(d.Sealed)
			if err != nil {
				return nil, fmt.Errorf("count uses of keys: %s %s: %w", d.Kind, d.ID, err)
			}
			uses[Use{backend, key}]++
		}
	}
	return uses, nil
}
