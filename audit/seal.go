package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// batch is how many events are numbered at once.
const batch = 500

// A head is the end of the chain as it is kept.
type head struct {
	Seq   uint64 `json:"seq"`
	Hash  string `json:"hash"`
	Bytes int64  `json:"bytes"` // of all lines so far
}

// load reads a document of which there is one. One that does not exist leaves
// v as it is.
func (b *Book) load(ctx context.Context, kind string, v any) (ci.Doc, error) {
	d, err := b.docs.Doc(ctx, kind, kind)
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Doc{Kind: kind, ID: kind}, nil
	}
	if err == nil {
		err = json.Unmarshal(d.Body, v)
	}
	if err != nil {
		return d, fmt.Errorf("%s: %w", kind, err)
	}
	return d, nil
}

// put returns the write of such a document.
func put(d ci.Doc, v any) ci.DocChange {
	d.Body, _ = json.Marshal(v) // heads and shelves can be written
	return ci.DocChange{Doc: d}
}

// entryID is the identity of a line's document, in the order of numbers.
func entryID(seq uint64) string { return fmt.Sprintf("%020d", seq) }

// number gives events of the outbox their numbers and chains them, in one
// transaction, and returns how many. Another process that was faster is
// [ci.ErrConflict].
func (b *Book) number(ctx context.Context) (int, error) {
	var found []ci.Doc
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindOutbox, Limit: batch}) {
		if err != nil {
			return 0, err
		}
		found = append(found, d)
	}
	if len(found) == 0 {
		return 0, nil
	}
	var h head
	doc, err := b.load(ctx, kindHead, &h)
	if err != nil {
		return 0, err
	}
	var prev Hash
	if h.Seq > 0 && !prev.parse(h.Hash) {
		return 0, fmt.Errorf("%s: %q is no hash", kindHead, h.Hash)
	}
	changes := make([]ci.DocChange, 0, 2*len(found)+1)
	for _, d := range found {
		h.Seq++
		l := chain(d.Body, h.Seq, prev)
		prev, h.Bytes = l.Hash, h.Bytes+int64(len(l.Text))+1
		changes = append(changes,
			ci.DocChange{Doc: ci.Doc{Kind: kindOutbox, ID: d.ID, Version: d.Version}, Delete: true},
			ci.DocChange{Doc: ci.Doc{Kind: kindEntry, ID: entryID(h.Seq), Body: l.Text}})
	}
	h.Hash = prev.String()
	if _, err := b.docs.WriteDocs(ctx, append(changes, put(doc, h))...); err != nil {
		return 0, err
	}
	return len(found), nil
}
