package nomad

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// The kinds of documents.
const (
	kindEnd  = "nomad-end"  // how a placement ended, and what its agent said
	kindWarm = "nomad-warm" // who was given to a warm agent
)

// keepEnds is for how long the end of a placement is kept.
const keepEnds = 7 * 24 * time.Hour

// books are what must survive a restart, or Nomad's collection of garbage.
// Without docs they keep nothing.
type books struct {
	docs  ci.Docs
	owner string
}

func docID(p scheduler.Placement) string {
	return string(p.Task.ID) + "." + strconv.FormatInt(p.Epoch, 10)
}

// An end is the document of a placement that is over.
type end struct {
	Reason string `json:"reason"`
	Output []byte `json:"output"`
}

// bury keeps the end of a placement.
func (b books) bury(ctx context.Context, p scheduler.Placement, reason string, output []byte) error {
	if b.docs == nil {
		return nil
	}
	body, err := json.Marshal(end{reason, output})
	if err != nil {
		return err
	}
	_, err = b.docs.WriteDocs(ctx, ci.DocChange{Doc: ci.Doc{
		Kind: kindEnd, Scope: b.owner, ID: docID(p), Body: body, Due: time.Now().Add(keepEnds), Version: ci.AnyVersion,
	}})
	return err
}

// said returns what the agent of a placement that is over has said.
func (b books) said(ctx context.Context, p scheduler.Placement) ([]byte, bool, error) {
	if b.docs == nil {
		return nil, false, nil
	}
	d, err := b.docs.Doc(ctx, kindEnd, docID(p))
	if errors.Is(err, ci.ErrNotFound) {
		return nil, false, nil
	}
	var e end
	if err == nil {
		err = json.Unmarshal(d.Body, &e)
	}
	return e.Output, err == nil && len(e.Output) > 0, err
}

// sweep removes ends that were kept long enough.
func (b books) sweep(ctx context.Context) error {
	if b.docs == nil {
		return nil
	}
	var old []ci.DocChange
	for d, err := range b.docs.DueDocs(ctx, kindEnd, time.Now(), 500) {
		if err != nil {
			return err
		}
		old = append(old, ci.DocChange{Doc: ci.Doc{Kind: kindEnd, ID: d.ID, Version: d.Version}, Delete: true})
	}
	if len(old) == 0 {
		return nil
	}
	_, err := b.docs.WriteDocs(ctx, old...)
	return err
}

// give writes down that a warm agent gets a placement. The name of the document
// is the placement, so no placement can be given twice: that is
// [ci.ErrConflict].
func (b books) give(ctx context.Context, warm string, p scheduler.Placement) error {
	p.Token = ""
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ci.ErrInvalid)
	}
	_, err = b.docs.WriteDocs(ctx, ci.DocChange{Doc: ci.Doc{Kind: kindWarm, Scope: b.owner, ID: warm, Name: docID(p), Body: body}})
	return err
}

// given returns what was given to warm agents, by their names.
func (b books) given(ctx context.Context) (map[string]scheduler.Placement, error) {
	given := make(map[string]scheduler.Placement)
	if b.docs == nil {
		return given, nil
	}
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindWarm, Scope: b.owner}) {
		if err != nil {
			return nil, fmt.Errorf("read the books of warm agents: %w", err)
		}
		var p scheduler.Placement
		if err := json.Unmarshal(d.Body, &p); err != nil {
			return nil, fmt.Errorf("read the book of warm agent %s: %w", d.ID, err)
		}
		given[d.ID] = p
	}
	return given, nil
}

// clear forgets what was given to a warm agent.
func (b books) clear(ctx context.Context, warm string) error {
	if b.docs == nil || warm == "" {
		return nil
	}
	_, err := b.docs.WriteDocs(ctx, ci.DocChange{Doc: ci.Doc{Kind: kindWarm, ID: warm, Version: ci.AnyVersion}, Delete: true})
	if errors.Is(err, ci.ErrNotFound) {
		return nil
	}
	return err
}
