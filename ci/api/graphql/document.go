package graphql

// A document is what a client sends: operations, of which one is executed, and
// fragments.
type document struct {
	operations []*operation
	fragments  map[string]*fragment
}

// An operation is a query or a mutation.
type operation struct {
	kind      string // query or mutation
	name      string
	variables []variable
	set       []selection
	at        place
}

// A fragment is a named set of fields of a type.
type fragment struct {
	on  string
	set []selection
}

// A variable is the declaration of one.
type variable struct {
	name     string
	typ      string // as written, without blanks
	fallback any
}

// A selection is a field, or a fragment in the place of fields.
type selection struct {
	key        string // in the reply
	name       string
	arguments  []argument
	directives []directive
	set        []selection
	at         place
	spread     string // the name of a fragment
	inline     bool   // a fragment without name: set, if the type is on
	on         string
}

// An argument is a name with a value: nil, bool, string, json.Number, an
// enumerated, a reference, []any or map[string]any.
type argument struct {
	name  string
	value any
}

// An enumerated is a bare word as a value, a reference the name of a variable.
type (
	enumerated string
	reference  string
)

// A directive is what stands behind an @.
type directive struct {
	name      string
	arguments []argument
	at        place
}

// A place is where something stands in a document, both from 1.
type place struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}
