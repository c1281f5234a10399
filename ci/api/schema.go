package api

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A schemas describes the types on the wire.
type schemas struct{ byName object }

var (
	stampType = reflect.TypeFor[stamp]()
	timeType  = reflect.TypeFor[time.Time]()
)

// of describes the type of a value: by reference if it has a name.
func (s *schemas) of(v any) any { return s.typ(reflect.TypeOf(v)) }

func (s *schemas) typ(t reflect.Type) any {
	switch {
	case t == stampType:
		return object{"type": "string", "format": "date-time", "nullable": true}
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		inner, ok := s.typ(t.Elem()).(object)
		if !ok || inner["$ref"] != nil {
			return inner
		}
		inner["nullable"] = true
		return inner
	case reflect.Slice:
		return object{"type": "array", "items": s.typ(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": true}
	case reflect.Struct:
		name := typeName(t)
		if s.byName[name] == nil {
			s.byName[name] = object{} // ends a circle
			s.byName[name] = s.fields(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	}
	return object{}
}

// typeName returns the name of a schema; that of a page is made of what it
// lists.
func typeName(t reflect.Type) string {
	name, of, generic := strings.Cut(t.Name(), "[")
	if !generic {
		return name
	}
	of = of[strings.LastIndexByte(of, '.')+1:]
	return name + "_of_" + strings.TrimSuffix(of, "]")
}

func (s *schemas) fields(t reflect.Type) object {
	properties := object{}
	var required []string
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		properties[name] = s.typ(f.Type)
		if !strings.Contains(options, "omitempty") {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func statusText(code int) string { return strconv.Itoa(code) }
