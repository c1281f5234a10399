package fsck

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// overdue is how long after its time a document should have been looked at.
const overdue = 7 * 24 * time.Hour

// documents checks those of all kinds.
func (x *exam) documents(ctx context.Context) error {
	if x.Docs == nil {
		return nil
	}
	for _, kind := range x.Kinds {
		err := x.confirm(ctx, func(ctx context.Context, l *list) error {
			names := map[string]string{}
			for d, err := range x.Docs.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
				if err != nil {
					return fmt.Errorf("documents of kind %s: %w", kind, err)
				}
				x.document(l, kind, d, names)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *exam) document(l *list, kind string, d ci.Doc, names map[string]string) {
	object := fmt.Sprintf("document %s %s", kind, d.ID)
	if len(d.Body) > 0 && !json.Valid(d.Body) {
		l.add(DocBody, object, "cannot be read", "restore a backup, or delete it")
	}
	if d.Kind != kind || d.ID == "" || d.Version < 1 {
		l.add(DocVersion, object, fmt.Sprintf("has the kind %q, the identity %q and the version %d", d.Kind, d.ID, d.Version), "restore a backup, or delete it")
	}
	if !d.Due.IsZero() && x.cfg.Now().Sub(d.Due) > overdue {
		l.add(DocOverdue, object, "should have been looked at on "+d.Due.UTC().Format(time.DateOnly), "see the log of the server for what fails")
	}
	if d.Updated.Before(d.Created) {
		l.add(DocTimes, object, "was written before it was made", "check the clock of the server")
	}
	if d.Name != "" {
		key := d.Scope + "\x00" + d.Name
		if other, ok := names[key]; ok && other != d.ID {
			l.add(DocTwice, object, fmt.Sprintf("is called %q in its scope, as %s", d.Name, other), "rename or delete one of them")
		}
		names[key] = d.ID
	}
}
