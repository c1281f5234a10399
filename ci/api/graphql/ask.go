package graphql

import (
	"context"
	"iter"

	"github.com/rondo-ci/rondo/ci"
)

// A Registry keeps orbs. It does not ask who may do something: the [Handler]
// does. What does not exist is [ci.ErrNotFound], a name that is taken
// [ci.ErrConflict], and what is no name or version [ci.ErrInvalid], with texts
// that say what to do.
type Registry interface {
	Namespaces
	Catalogue
	Versions
}

// Namespaces are the names under which organisations publish.
type Namespaces interface {
	// Namespace finds one by its name or one that it had before.
	Namespace(ctx context.Context, name string) (ci.Namespace, error)
	NamespaceByID(ctx context.Context, id string) (ci.Namespace, error)
	// CreateNamespace makes it for an organisation, which has one; "" is for
	// what is imported. The same twice is no error.
	CreateNamespace(ctx context.Context, name, org string) (ci.Namespace, error)
	// RenameNamespace keeps the old name as another one, until DeleteAlias.
	RenameNamespace(ctx context.Context, id, name string) (ci.Namespace, error)
	DeleteAlias(ctx context.Context, name string) error
	// DeleteNamespace removes its orbs too.
	DeleteNamespace(ctx context.Context, id string) error
}

// A Catalogue is the orbs without their sources.
type Catalogue interface {
	OrbNamed(ctx context.Context, name string) (ci.Orb, error) // as in "acme/go"
	OrbByID(ctx context.Context, id string) (ci.Orb, error)
	// Orbs yields those of a namespace by its ID, of all with "", by name,
	// private and unlisted ones too.
	Orbs(ctx context.Context, namespace string) iter.Seq2[ci.Orb, error]
	// CreateOrb makes one without versions.
	CreateOrb(ctx context.Context, namespace, name string, private bool) (ci.Orb, error)
	// ChangeOrb changes what edit changes. edit may be called several times.
	ChangeOrb(ctx context.Context, id string, edit func(*ci.Orb) error) (ci.Orb, error)
}

// Versions are the versions of orbs.
type Versions interface {
	// OrbVersion finds the version that a reference means, as in "acme/go@1".
	OrbVersion(ctx context.Context, ref string) (ci.Orb, ci.OrbVersion, error)
	// OrbVersions lists releases, the highest first, at most limit; 0 is all.
	OrbVersions(ctx context.Context, orb string, limit int) ([]ci.OrbVersion, error)
	OrbSource(ctx context.Context, version string) ([]byte, error) // by the version's ID
	// PublishOrb adds a release, which never changes, or replaces a development
	// version.
	PublishOrb(ctx context.Context, orb, version string, source []byte) (ci.OrbVersion, error)
}
