package github

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// kindRepository are the documents about repositories that are followed, or
// about to be, or no longer: ID is the repository's own, Name that of its
// webhook, Due when somebody should look after it.
const kindRepository = "github-repository"

// A link is what ties a repository to a project. It is written before anything
// is made on the code host, so whatever is found there after a crash has an
// owner here that completes or removes it.
type link struct {
	Project ci.ProjectID `json:"project"`
	// Owner and Name are what the repository was last called.
	Owner string    `json:"owner"`
	Name  string    `json:"name"`
	State linkState `json:"state"`
	Hook  int64     `json:"hook,omitempty"`
	Key   int64     `json:"key,omitempty"`
	// Public is the public half of the deploy key.
	Public string `json:"public,omitempty"`
	// Stale says that the repository may be called something else now.
	Stale bool `json:"stale,omitempty"`
	// Swept is up to when all deliveries are known to be dealt with, and Base
	// says that the references have been written down once.
	Swept time.Time `json:"swept,omitzero"`
	Base  bool      `json:"base,omitempty"`
	Tries int       `json:"tries,omitempty"`
}

// A linkState says what is being done about a link.
type linkState string

const (
	linkComing  linkState = "coming"  // webhook and key are being made
	linkThere   linkState = "there"   // both are
	linkLeaving linkState = "leaving" // both are being removed
)

// link reads the link of a repository.
func (h *Host) link(ctx context.Context, id string) (link, ci.Doc, error) {
	d, err := h.records.Doc(ctx, kindRepository, id)
	if err != nil {
		return link{}, ci.Doc{Kind: kindRepository, ID: id}, err
	}
	l, err := readLink(d)
	return l, d, err
}

func readLink(d ci.Doc) (link, error) {
	var l link
	if err := json.Unmarshal(d.Body, &l); err != nil {
		return link{}, fmt.Errorf("repository %s: %w", d.ID, err)
	}
	return l, nil
}

// change returns the write of the link over the document it was read from.
func (l *link) change(d ci.Doc, due time.Time) ci.DocChange {
	d.Body, _ = json.Marshal(l)
	d.Due, d.Name, d.Updated = due, "", time.Time{}
	if l.Hook != 0 {
		d.Name = hookName(fmt.Sprint(l.Hook))
	}
	return ci.DocChange{Doc: d}
}

// save writes the link.
func (h *Host) save(ctx context.Context, l *link, d *ci.Doc, due time.Time) error {
	kept, err := h.records.WriteDocs(ctx, l.change(*d, due))
	if err == nil {
		*d = kept[0]
	}
	return err
}

// hookName is the name of a link whose webhook has that ID.
func hookName(id string) string { return "hook " + id }

// repo returns the repository as it was last called.
func (h *Host) repo(l link, p ci.Project) *Repo {
	r := h.Repo(p)
	r.owner, r.name = l.Owner, l.Name
	return r
}
