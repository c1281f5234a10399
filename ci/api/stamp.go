package api

import "time"

// A stamp is a time on the wire: UTC with milliseconds, null when it is not
// set.
type stamp struct{ time.Time }

func stampOf(t time.Time) stamp { return stamp{t} }

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	return []byte(s.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}
