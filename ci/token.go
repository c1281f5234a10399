package ci

import "time"

// A ProjectToken lets programs use one project without being a person. It is
// good for the API v1.1, badges and cc.xml, and for nothing else. The token
// itself is its maker's to keep; what is here may be shown.
type ProjectToken struct {
	ID      string     `json:"id"` // a UUID
	Project ProjectID  `json:"project"`
	Scope   TokenScope `json:"scope"`
	Label   string     `json:"label"` // what people call it
	Created time.Time  `json:"created"`
	// Expires is when it is good no longer; zero is never.
	Expires time.Time `json:"expires,omitzero"`
	// Used is when it was last used, to within an hour; zero is never.
	Used time.Time `json:"used,omitzero"`
}

// A TokenScope says what a [ProjectToken] may do.
type TokenScope string

// The scopes, in the words of the API. Each may do what those before it may.
const (
	ScopeStatus TokenScope = "status"      // read badges and cc.xml
	ScopeBuilds TokenScope = "view-builds" // read builds, their output and artifacts
	ScopeAll    TokenScope = "all"         // read and change
)

// Covers reports whether a token of this scope may do what needs the given
// one. A scope that is none of the three covers nothing.
func (s TokenScope) Covers(need TokenScope) bool {
	order := map[TokenScope]int{ScopeStatus: 1, ScopeBuilds: 2, ScopeAll: 3}
	return order[need] > 0 && order[s] >= order[need]
}
