package ci

import "time"

// A Namespace is a name in the registry of orbs. One organisation publishes
// under it; an organisation has one.
type Namespace struct {
	ID   string `json:"id"` // a UUID
	Name string `json:"name"`
	// Org is the slug of the organisation, as in "gh/acme"; "" for one that an
	// administrator imported.
	Org string `json:"org,omitempty"`
}

// An Orb is a reusable package of configuration in the registry.
type Orb struct {
	ID string `json:"id"` // a UUID
	// Name is that of the namespace and its own, as in "acme/go".
	Name      string    `json:"name"`
	Namespace Namespace `json:"namespace"`
	// Private orbs are for the organisation of the namespace only. Unlisted ones
	// work for everybody and are left out of lists.
	Private    bool      `json:"private,omitempty"`
	Unlisted   bool      `json:"unlisted,omitempty"`
	Categories []string  `json:"categories,omitempty"`
	Created    time.Time `json:"created"`
}

// An OrbVersion is one version of an [Orb]: "1.2.3", which never changes, or
// "dev:label", which is replaced at will and expires.
type OrbVersion struct {
	ID      string    `json:"id"`  // a UUID
	Orb     string    `json:"orb"` // its ID
	Version string    `json:"version"`
	Created time.Time `json:"created"` // or replaced
}
