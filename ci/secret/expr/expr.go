// Package expr is the small language in which an expression restriction of a
// context says which pipelines may use it:
//
//	pipeline.git.branch == "main" and not job.ssh.enabled
//
// Its nouns are the [Expr], a parsed text, and the [Error], a mistake with its
// column. Operators from weak to strong, all of them binding to the left:
//
//	or
//	and
//	==  !=
//	starts-with  matches
//	>=  >  <=  <
//	not  !
//
// and parentheses. Literals are integers of 64 bits, texts in double quotes
// with the escapes \" and \\, true and false; behind matches stands a
// /regular expression/ of Go's regexp syntax that has to match the whole text.
//
// The language decides who gets secrets, so it fails closed: an identifier
// without a value denies the expression even where and or or would never look
// at it, and so does an operand of the wrong type. Values of different types
// are not equal. A value other than false counts as true. What a parameter
// holds is chosen by whoever triggers a pipeline, hence pipeline.parameters and
// pipeline.trigger_parameters are refused when an expression is parsed.
//
// The rules are those of CircleCI's page on expression restrictions; there is
// doubt about matches, which that page does not list. The package is pure and
// never prints a value.
package expr

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The limits of an expression. A longer or deeper one is refused.
const (
	MaxLength  = 4096 // bytes of the text
	MaxDepth   = 50   // operators not, and parentheses, in each other
	MaxPattern = 256  // bytes of a regular expression
)

// SSH is the identifier that is true in a job that was rerun with SSH.
const SSH = "job.ssh.enabled"

// An Expr is a parsed expression. It is immutable.
type Expr struct {
	text  string
	root  node
	names []name
}

// An Error is a mistake in an expression or in its evaluation.
type Error struct {
	// Col is where, in characters from 1.
	Col int
	// Text says what is wrong and, where there is one, what to do.
	Text string
	// Cause is [ci.ErrInvalid] for a mistake in the text, [ci.ErrDenied] for
	// one that only values show.
	Cause error
}

func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Col, e.Text) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// String returns the text of the expression as it was parsed.
func (x *Expr) String() string { return x.text }

// Names returns the identifiers of the expression in order, each once.
func (x *Expr) Names() []string {
	var out []string
	for _, n := range x.names {
		if !slices.Contains(out, n.name) {
			out = append(out, n.name)
		}
	}
	return out
}

// Holds evaluates the expression with values by full name ("pipeline.number"):
// texts, booleans and whole numbers. An identifier without such a value, or an
// operand of the wrong type, is an [Error] that wraps [ci.ErrDenied]; then the
// answer is false.
func (x *Expr) Holds(values map[string]any) (bool, error) {
	env := make(map[string]any, len(x.names))
	for _, n := range x.names {
		v, known := values[n.name]
		if !known {
			return false, denied(n.col, "%s is not known here%s", n.name, near(n.name, values))
		}
		if env[n.name] = plain(v); env[n.name] == nil {
			return false, denied(n.col, "%s is neither a text nor a whole number nor a boolean", n.name)
		}
	}
	v, err := x.root.eval(env)
	if err != nil {
		return false, err
	}
	return truthy(v), nil
}

func denied(col int, format string, args ...any) error {
	return &Error{Col: col, Text: fmt.Sprintf(format, args...), Cause: ci.ErrDenied}
}

// near names the identifier that differs from an unknown one in case only, or
// lacks its prefix, or nothing.
func near(name string, values map[string]any) string {
	var names []string
	for known := range values {
		if strings.EqualFold(known, name) || strings.TrimPrefix(known, "pipeline.") == name {
			names = append(names, known)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", did you mean " + slices.Min(names) + "?"
}

// plain returns a value as the string, bool or int64 of the language, nil when
// it is none of them.
func plain(v any) any {
	switch v := v.(type) {
	case string, bool, int64:
		return v
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	}
	return nil
}

// truthy says what a value counts as.
func truthy(v any) bool { return v != false }
