package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Check verifies the whole book: files, checkpoints, and the lines that are
// in the database only. What is wrong is a [*Damage]; the state shows it.
// Checks wait for each other.
func (b *Book) Check(ctx context.Context) (Report, error) {
	b.checked.Lock()
	defer b.checked.Unlock()
	v := &verifier{}
	r, err := v.verify(ctx, b.bucket, b.keys())
	if err == nil {
		v.tree.size = r.Lines
		v.head = r.Head
		err = b.checkDocs(ctx, v, &r)
	}
	var d *Damage
	if err != nil && !errors.As(err, &d) {
		return r, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.Checked, b.state.Problem = time.Now().UTC(), ""
	if d != nil {
		b.state.Problem = d.Error()
	}
	return r, err
}

// checkDocs goes on with the lines of the database.
func (b *Book) checkDocs(ctx context.Context, v *verifier, r *Report) error {
	var s shelf
	if _, err := b.load(ctx, kindShelf, &s); err != nil {
		return err
	}
	if r.Lines < s.Last {
		return &Damage{"the files", 0, r.Lines + 1, fmt.Sprintf("they end with event %d, and %d were filed: the newest are missing", r.Lines, s.Last)}
	}
	// From here on the tree does not matter, only that each line follows.
	v.tree = tree{size: r.Lines}
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindEntry, AllScopes: true, After: entryID(r.Lines)}) {
		if err != nil {
			return err
		}
		l, err := ParseLine(d.Body)
		if err == nil && l.Seq != v.tree.size+1 {
			err = fmt.Errorf("it has the number %d: %w", l.Seq, ci.ErrInvalid)
		}
		if err == nil && l.Prev != v.head {
			err = fmt.Errorf("it does not follow the line before: %w", ci.ErrInvalid)
		}
		if err != nil {
			return &Damage{"the database", 0, v.tree.size + 1, says(err)}
		}
		v.tree.size, v.head = l.Seq, l.Hash
	}
	var h head // read last: what was numbered in the meantime is behind us
	if _, err := b.load(ctx, kindHead, &h); err != nil {
		return err
	}
	if h.Seq < v.tree.size {
		return &Damage{"the database", 0, h.Seq + 1, "there are more lines than were numbered"}
	}
	r.Lines, r.Head = v.tree.size, v.head
	return nil
}

// State says how the book stands.
func (b *Book) State(ctx context.Context, by ci.Actor) (ci.AuditState, error) {
	if err := b.cfg.May(ctx, by); err != nil {
		return ci.AuditState{}, err
	}
	var h head
	var s shelf
	if _, err := b.load(ctx, kindHead, &h); err != nil {
		return ci.AuditState{}, err
	}
	if _, err := b.load(ctx, kindShelf, &s); err != nil {
		return ci.AuditState{}, err
	}
	waiting := uint64(0)
	for _, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindOutbox, Limit: maxLimit}) {
		if err != nil {
			return ci.AuditState{}, err
		}
		waiting++
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.state
	out.Entries, out.Filed, out.Waiting, out.Head, out.Key = h.Seq, s.Last, waiting, h.Hash, string(b.keys())
	out.Sinks = sortedSinks(b.sinks, h.Seq)
	return out, nil
}

// VerifyAudit verifies the book now and says how it stands.
func (b *Book) VerifyAudit(ctx context.Context, by ci.Actor) (ci.AuditState, error) {
	if err := b.cfg.May(ctx, by); err != nil {
		return ci.AuditState{}, err
	}
	var d *Damage
	if _, err := b.Check(ctx); err != nil && !errors.As(err, &d) {
		return ci.AuditState{}, err
	}
	return b.State(ctx, by)
}
