package vmservice

import "time"

// A FaultClass says what to do about an error of a provider.
type FaultClass string

// The classes of faults.
const (
	FaultCapacity  FaultClass = "capacity"  // none to be had there now: elsewhere, or later
	FaultQuota     FaultClass = "quota"     // no more than there are, until somebody raises a limit
	FaultSettings  FaultClass = "settings"  // a setting is wrong, or a right is missing: people must act
	FaultTransient FaultClass = "transient" // the same again, after a while
)

// A Fault is an error of a provider whose cause is known.
type Fault struct {
	Class FaultClass
	Code  string // the provider's own: InsufficientInstanceCapacity
	// Setting names the setting to mend, for [FaultSettings].
	Setting string
	// After is how long to wait at least; 0 is unknown.
	After time.Duration
	Err   error
}

// Error returns the text of the error behind it.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns the error behind it.
func (f *Fault) Unwrap() error { return f.Err }
