package main

import "net/http"

// refreshing asks GitHub anew what people may do when it tells that this has
// changed: of a repository, of its members, and where an organisation sends its
// webhooks here too, of its members and teams.
func (in *installation) refreshing(next http.Handler) http.Handler {
	if in.people == nil || in.people.hub == nil {
		return next
	}
	return onRightsEvent(next, in.people.hub.Refresh)
}

// onRightsEvent calls act after next has taken an event that changes what
// people may do. What next refuses, for its signature first of all, changes
// nothing.
func onRightsEvent(next http.Handler, act func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-GitHub-Event") {
		case "member", "membership", "organization", "public", "repository", "team", "team_add":
		default:
			next.ServeHTTP(w, r)
			return
		}
		seen := &seenWriter{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(seen, r)
		if seen.code < 300 {
			act()
		}
	})
}
