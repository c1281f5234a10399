package graphql

import "strings"

// A connection is one page of a list, in the form that GraphQL clients know.
type connection struct {
	total int
	edges []edge
	more  bool
}

// An edge is an entry of a page, with the cursor behind which the next begins.
type edge struct {
	cursor string
	node   any
}

// The pages of a list.
const (
	pageSize = 20
	maxPage  = 200
)

// paged are the arguments of a list.
var paged = []arg{{"first", "Int"}, {"after", "String"}}

// page returns the page of a sorted list that the arguments ask for. cursor is
// the name by which the list is sorted.
func page[T any](list []T, a args, cursor func(T) string) connection {
	c := connection{total: len(list), edges: []edge{}}
	size := min(a.number("first"), maxPage)
	if size <= 0 {
		size = pageSize
	}
	for _, v := range list {
		at := cursor(v)
		if after := a.text("after"); after != "" && strings.Compare(at, after) <= 0 {
			continue
		}
		if len(c.edges) == size {
			c.more = true
			break
		}
		c.edges = append(c.edges, edge{at, v})
	}
	return c
}

// connectionOf is the object of pages of an object.
func connectionOf(of *object) *object {
	return &object{of.name + "Connection", map[string]field{
		"totalCount": plain(func(c connection) any { return c.total }),
		"edges": part(&object{of.name + "Edge", map[string]field{
			"cursor": plain(func(e edge) any { return e.cursor }),
			"node":   part(of, func(e edge) any { return e.node }),
		}}, func(c connection) any { return many(c.edges) }),
		"pageInfo": part(&object{"PageInfo", map[string]field{
			"hasNextPage": plain(func(c connection) any { return c.more }),
		}}, func(c connection) any { return c }),
	}}
}
