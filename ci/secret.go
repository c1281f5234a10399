package ci

import "time"

// A Context is a named collection of variables of an organisation, which jobs
// ask for by name.
type Context struct {
	ID   ContextID `json:"id"`
	Org  string    `json:"org"` // slug of the organisation, as in "gh/acme"
	Name string    `json:"name"`
	// Created is when it was made.
	Created time.Time `json:"created"`
}

// A ContextID names a [Context]. It is a UUID.
type ContextID string

// A Holder is what variables belong to: a context or a project. One of the two
// is set.
type Holder struct {
	Context ContextID
	Project ProjectID
}

// A Variable is what people may see of a stored variable: never its value.
type Variable struct {
	Name string `json:"name"`
	// Masked is "xxxx" and the last four characters of a value that has more
	// than four, so that people can tell two values apart.
	Masked  string    `json:"masked"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// A Restriction says who may use a context. A context with restrictions of
// several kinds is open to a job that passes at least one of each kind.
type Restriction struct {
	ID      string          `json:"id"`
	Context ContextID       `json:"context"`
	Kind    RestrictionKind `json:"kind"`
	// Value is the ID of a project, the name of a group, or an expression over
	// pipeline values. Name is what people call it.
	Value string `json:"value"`
	Name  string `json:"name,omitempty"`
}

// A RestrictionKind says what a [Restriction] looks at.
type RestrictionKind string

// The kinds of restrictions, in the words of the API.
const (
	RestrictProject    RestrictionKind = "project"
	RestrictExpression RestrictionKind = "expression"
	RestrictGroup      RestrictionKind = "group"
)

// A Key is the public half of an SSH key that a project's jobs may use. The
// private half is nobody's to read but theirs.
type Key struct {
	Kind KeyKind `json:"kind"`
	// Public is in the form of authorized_keys. MD5 is its fingerprint as
	// "c9:0b:...", SHA256 the base64 one, without a prefix.
	Public string `json:"public"`
	MD5    string `json:"md5"`
	SHA256 string `json:"sha256"`
	// Host is where a KeyAdditional is used; "" is everywhere.
	Host string `json:"host,omitempty"`
	// Preferred is true for the key that checkout uses.
	Preferred bool      `json:"preferred,omitempty"`
	Login     string    `json:"login,omitempty"` // of the user, for a KeyUser
	Created   time.Time `json:"created"`
}

// A SealingKey is one of the keys that stored secrets are encrypted with. Its
// secret half is not here.
type SealingKey struct {
	// Backend is what keeps the key: "local", "vault".
	Backend string `json:"backend"`
	Name    string `json:"name"`
	// State is "primary" (seals what is new), "decrypt-only", "disabled" or
	// "destroyed".
	State   string    `json:"state"`
	Created time.Time `json:"created,omitzero"`
	// Uses counts the stored secrets that need it.
	Uses int `json:"uses"`
}

// A KeyKind says what a [Key] is for.
type KeyKind string

// The kinds of keys, in the words of the API.
const (
	KeyDeploy     KeyKind = "deploy-key"      // reads one repository
	KeyUser       KeyKind = "github-user-key" // does what its user may do on the code host
	KeyAdditional KeyKind = "ssh-key"         // given by people, for hosts that jobs reach
)
