package graphql

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An object is a type of the schema: fields by name.
type object struct {
	name   string
	fields map[string]field
}

// A field is one of an object: its arguments, the object that it gives (nil is
// a plain value), and how to find it.
type field struct {
	args    []arg
	of      *object
	resolve resolver
}

// An arg is an argument that a field takes, with its type as GraphQL writes it.
type arg struct{ name, typ string }

// A resolver finds the value of a field of parent: nil, a plain value, the
// parent of the fields below, or a []any of those.
type resolver func(ctx context.Context, c *call, parent any, a args) (any, error)

// args are the arguments of a field by name; those that are missing or null
// are not there.
type args map[string]any

func (a args) text(name string) string { s, _ := a[name].(string); return s }
func (a args) flag(name string) bool   { b, _ := a[name].(bool); return b }
func (a args) number(name string) int  { n, _ := a[name].(int); return n }

// on makes a resolver for parents of type T.
func on[T any](f func(ctx context.Context, c *call, parent T, a args) (any, error)) resolver {
	return func(ctx context.Context, c *call, parent any, a args) (any, error) {
		p, ok := parent.(T)
		if !ok {
			return nil, fmt.Errorf("a field of %T was asked of %T", p, parent)
		}
		return f(ctx, c, p, a)
	}
}

// plain is a field that is part of its parent.
func plain[T any](get func(T) any) field {
	return field{resolve: on(func(_ context.Context, _ *call, parent T, _ args) (any, error) { return get(parent), nil })}
}

// part is as plain, for an object.
func part[T any](of *object, get func(T) any) field {
	f := plain(get)
	f.of = of
	return f
}

// many is a list as a resolver returns it.
func many[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// enums are the words that a type of the schema may be.
var enums = map[string][]string{
	"VCSType":         {"GITHUB", "BITBUCKET", "CIRCLECI", "LOCAL", "GH", "BB"},
	"OrbListViewType": {"PUBLIC_ONLY", "PRIVATE_ONLY", "ALL"},
}

// coerce returns a value as the type wants it: string, bool, int, []any or
// map[string]any; nil stays nil where the type permits it.
func coerce(v any, typ string) (any, error) {
	if must := strings.TrimSuffix(typ, "!"); must != typ {
		if v == nil {
			return nil, fmt.Errorf("is required")
		}
		typ = must
	}
	if v == nil {
		return nil, nil
	}
	if strings.HasPrefix(typ, "[") {
		return coerceList(v, typ[1:len(typ)-1])
	}
	switch typ {
	case "String", "ID", "UUID":
		return coerceText(v, typ)
	case "Boolean":
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case "Int":
		if n, ok := v.(json.Number); ok {
			if i, err := strconv.ParseInt(n.String(), 10, 32); err == nil {
				return int(i), nil
			}
		}
	default:
		if words, ok := enums[typ]; ok {
			return coerceWord(v, words)
		}
		if m, ok := v.(map[string]any); ok {
			return m, nil
		}
	}
	return nil, fmt.Errorf("has to be of type %s", typ)
}

func coerceList(v any, of string) (any, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v} // as GraphQL has it
	}
	out := make([]any, len(list))
	for i, item := range list {
		var err error
		if out[i], err = coerce(item, of); err != nil {
			return nil, fmt.Errorf("at %d %w", i, err)
		}
	}
	return out, nil
}

func coerceText(v any, typ string) (any, error) {
	if n, ok := v.(json.Number); ok && typ == "ID" {
		return n.String(), nil
	}
	s, ok := v.(string)
	switch {
	case !ok:
		return nil, fmt.Errorf("has to be of type %s", typ)
	case typ == "UUID" && !isUUID(s):
		return nil, fmt.Errorf("has to be a UUID, not %.60q", s)
	case typ == "UUID":
		return strings.ToLower(s), nil
	}
	return s, nil
}

func coerceWord(v any, words []string) (any, error) {
	s, ok := v.(string)
	if e, bare := v.(enumerated); bare {
		s, ok = string(e), true
	}
	if !ok || !slices.Contains(words, s) {
		return nil, fmt.Errorf("has to be one of %s, not %.60v", strings.Join(words, ", "), v)
	}
	return s, nil
}

// isUUID reports whether s has the form of a UUID.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}
