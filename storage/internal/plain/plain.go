// Package plain is the form in which every database of Rondo gives a value
// back, so that the in-memory driver and the one on a disk cannot differ in it.
// Its functions keep no state and may be called from any goroutine.
package plain

import (
	"encoding/json"
	"unicode/utf8"
)

// Number turns the literal numbers of a decoded JSON value into Go's: float64,
// or int64 where that could not hold it exactly. A number beyond both stays
// text. Lists and maps are changed in place.
func Number(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if i, err := v.Int64(); err == nil && int64(f) != i {
			return i
		}
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = Number(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = Number(v[k])
		}
	}
	return v
}

// Text returns the text as JSON would hold it: each byte that is not UTF-8
// becomes U+FFFD.
func Text[S ~string](s S) S {
	if utf8.ValidString(string(s)) {
		return s
	}
	return S([]rune(string(s)))
}
