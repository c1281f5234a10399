package vmservice

import "context"

// A Verdict says what came of looking at one thing.
type Verdict string

// The verdicts of a check.
const (
	VerdictGood Verdict = "good"
	VerdictWarn Verdict = "warn" // works, or could not be found out
	VerdictBad  Verdict = "bad"  // machines will not boot, or not be ended
)

// An Advice is one line of a check.
type Advice struct {
	Subject string  `json:"subject"` // what was looked at
	Verdict Verdict `json:"verdict"`
	Setting string  `json:"setting,omitempty"` // the setting to mend
	Text    string  `json:"text"`              // what is so, and what to do
}

// A Checker is the optional power of a [Driver] to find out, before any job
// needs it, whether the provider will do what the pool asks. Nothing is made.
type Checker interface {
	// Check returns what it sees, in the order of looking. An error says that
	// there was no looking.
	Check(ctx context.Context) ([]Advice, error)
}
