package graphql

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// A problem is a reason why something was not done.
type problem struct{ message, typ string }

// kinds are the types of problems, by their errors.
var kinds = []struct {
	err error
	typ string
}{
	{ci.ErrNotFound, "NOT_FOUND"}, {ci.ErrDenied, "DENIED"}, {ci.ErrConflict, "CONFLICT"}, {ci.ErrInvalid, "INVALID"},
}

// problems returns what an error says to people, one for each error that it
// joins, and false when it is a fault of the server.
func problems(err error) ([]problem, bool) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []problem
		for _, e := range joined.Unwrap() {
			one, known := problems(e)
			if !known {
				return nil, false
			}
			all = append(all, one...)
		}
		return all, true
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			_, text, _ := wire.Answer(err)
			return []problem{{text, k.typ}}, true
		}
	}
	return nil, false
}

// An outcome is what a mutation returns: the thing that it changed, or why it
// did not.
type outcome struct {
	made     any // the thing, nil if there is none
	problems []problem
}

// mutation is a field that changes something. The payload has the thing that
// do returns under the name made, and errors. fields are further ones.
func (t *types) mutation(name, made string, of *object, takes []arg, do func(ctx context.Context, c *call, a args) (any, error), further map[string]field) field {
	fields := map[string]field{
		"errors": part(t.problem, func(o outcome) any { return many(o.problems) }),
		made:     part(of, func(o outcome) any { return o.made }),
	}
	maps.Copy(fields, further)
	payload := &object{strings.ToUpper(name[:1]) + name[1:] + "Payload", fields}
	return field{args: takes, of: payload, resolve: func(ctx context.Context, c *call, _ any, a args) (any, error) {
		v, err := do(ctx, c, a)
		if err == nil {
			return outcome{made: v}, nil
		}
		list, known := problems(err)
		if !known {
			return nil, err
		}
		return outcome{problems: list}, nil
	}}
}
