package api

import (
	"net/http"
	"slices"
	"strings"
)

// listPage is how many things of a chapter a page has.
const listPage = 100

// keyed returns the page of a list that is there as a whole: by key, which must
// be unique in it, from the one of the page token on.
func keyed[S, T any](c *call, all []S, key func(S) string, show func(S) T) (any, error) {
	var after string
	if err := c.pageKey(&after); err != nil {
		return nil, err
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b S) int { return strings.Compare(key(a), key(b)) })
	all = slices.DeleteFunc(all, func(s S) bool { return after != "" && key(s) <= after })
	var next any
	if len(all) > listPage {
		all = all[:listPage]
		next = key(all[listPage-1])
	}
	items := make([]T, 0, len(all))
	for _, s := range all {
		items = append(items, show(s))
	}
	return pageOf(items, next), nil
}

// absent is the answer of routes whose chapter the installation lacks.
func absent(what string) error {
	return refuse(http.StatusNotFound, "This installation has no "+what+".")
}

// missing is the answer to a request that lacks something.
func missing(what string) error {
	return refuse(http.StatusBadRequest, what+" is required.")
}

// change sets what a request says.
func change[T any](to, said *T) {
	if said != nil {
		*to = *said
	}
}
