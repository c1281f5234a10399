package graphql

import "maps"

// schema returns the objects at which queries and mutations begin.
func schema() (query, mutation *object) {
	query, mutation = &object{name: "Query", fields: map[string]field{}}, &object{name: "Mutation", fields: map[string]field{}}
	t := newTypes()
	for _, fields := range []map[string]field{t.orbQueries(), t.organisationQueries(), t.compileQueries(), {"context": t.contextField()}} {
		maps.Copy(query.fields, fields)
	}
	for _, fields := range []map[string]field{t.namespaceMutations(), t.orbMutations(), t.versionMutations(), t.contextMutations()} {
		maps.Copy(mutation.fields, fields)
	}
	return query, mutation
}

// types are the objects of the schema that more than one part of it needs.
type types struct {
	problem   *object // what is wrong with a text, or a mutation
	namespace *object
	orb       *object
	version   *object
	category  *object
	context   *object
}

func newTypes() *types {
	t := &types{
		problem: &object{"Problem", map[string]field{
			"message": plain(func(p problem) any { return p.message }),
			"type":    plain(func(p problem) any { return p.typ }),
		}},
		namespace: &object{name: "RegistryNamespace"},
		orb:       &object{name: "Orb"},
		version:   &object{name: "OrbVersion"},
		category: &object{"OrbCategory", map[string]field{
			"id":   plain(func(c category) any { return c.id() }),
			"name": plain(func(c category) any { return string(c) }),
		}},
		context: &object{name: "Context"},
	}
	t.namespace.fields, t.orb.fields, t.version.fields = t.namespaceFields(), t.orbFields(), t.versionFields()
	t.context.fields = t.contextFields()
	return t
}
