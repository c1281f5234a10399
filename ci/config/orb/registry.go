package orb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Config holds what a [Registry] can do without.
type Config struct {
	// DevAge is how long a development version is kept after its last
	// publication; 0 is 90 days.
	DevAge time.Duration
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// A Registry keeps namespaces, orbs and their versions in documents. Releases
// never change; development versions are replaced at will and expire. Names
// that a namespace had before stay its own, so that configurations keep
// working. All methods are safe for concurrent use, also by several processes
// on one database: each change is one transaction, and of two that exclude each
// other one gets [ci.ErrConflict].
type Registry struct {
	docs ci.Docs
	cfg  Config
}

// New returns the registry in the documents. It starts nothing.
func New(docs ci.Docs, cfg Config) *Registry {
	if cfg.DevAge <= 0 {
		cfg.DevAge = 90 * 24 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Registry{docs: docs, cfg: cfg}
}

// The kinds of documents, and how they lie:
//
//	orb-namespace  by ID; scope "", body a ci.Namespace
//	orb-name       by each name of a namespace; scope its ID
//	orb-owner      by the organisation's slug; scope the namespace's ID
//	orb            by ID; scope the namespace's ID, name without the namespace
//	orb-version    by ID; scope the orb's ID, name as place makes it, due when it expires
//	orb-source     by the version's ID; body the source as a JSON string
//
// Whoever adds to a namespace or an orb writes its document too, so nothing can
// be added to one that is being deleted.
const (
	kindNamespace = "orb-namespace"
	kindName      = "orb-name"
	kindOwner     = "orb-owner"
	kindOrb       = "orb"
	kindVersion   = "orb-version"
	kindSource    = "orb-source"
)

// retries is how often a change is done anew that another one overtook.
const retries = 50

// change runs a change until nobody overtakes it. try returns the changes; when
// one of them meets a newer document, it is asked again.
func (r *Registry) change(ctx context.Context, try func() ([]ci.DocChange, error)) error {
	var err error
	for range retries {
		changes, failed := try()
		if failed != nil || len(changes) == 0 {
			return failed
		}
		if _, err = r.docs.WriteDocs(ctx, changes...); !errors.Is(err, ci.ErrConflict) {
			return err
		}
	}
	return err
}

// A View is the registry as one organisation sees it: its own private orbs and
// everybody's public ones. The compiler asks it for orbs.
type View struct {
	r   *Registry
	org string
}

// For returns the registry as the organisation with that slug sees it; "" sees
// public orbs only.
func (r *Registry) For(org string) View { return View{r, org} }

// Orb returns the source of the orb that ref names and the exact reference
// that was chosen. A reference of the wrong form is [ci.ErrInvalid]; an orb or
// version that does not exist, has expired or is another organisation's own is
// [ci.ErrNotFound].
func (v View) Orb(ctx context.Context, ref string) (resolved string, source []byte, err error) {
	o, version, err := v.r.OrbVersion(ctx, ref)
	if err == nil && o.Private && o.Namespace.Org != v.org {
		err = ci.ErrNotFound
	}
	if err == nil {
		source, err = v.r.OrbSource(ctx, version.ID)
	}
	switch {
	case errors.Is(err, ci.ErrNotFound): // one text, whether it is absent or hidden
		return "", nil, fmt.Errorf("orb %s: %w", ref, ci.ErrNotFound)
	case err != nil:
		return "", nil, err
	}
	name, _, _ := strings.Cut(ref, "@") // an older name of the namespace is as good
	return name + "@" + version.Version, source, nil
}

// encode returns the body of a document.
func encode(v any) []byte {
	data, _ := json.Marshal(v) // of strings, flags and times
	return data
}

// decode reads the body of a document into v.
func decode(d ci.Doc, v any) error {
	if err := json.Unmarshal(d.Body, v); err != nil {
		return fmt.Errorf("read %s %s: %w", d.Kind, d.ID, err)
	}
	return nil
}
