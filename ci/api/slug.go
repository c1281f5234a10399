package api

import (
	"net/http"
	"net/url"
	"strings"
)

// long are the names of code hosts that are accepted in place of the short
// ones in slugs.
var long = map[string]string{"github": "gh", "bitbucket": "bb"}

// shorten returns a slug with the short name of its host.
func shorten(slug string) string {
	host, rest, _ := strings.Cut(slug, "/")
	if s := long[host]; s != "" && rest != "" {
		return s + "/" + rest
	}
	return slug
}

// withSlug makes the project in the address one segment, whichever form it
// comes in: three segments, one with the slashes escaped, or an identity. What
// is said of a job directly below the project moves below job, since the
// patterns of the router could not tell it from the project's other things.
func withSlug(r *http.Request) *http.Request {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), root+"/project/")
	if !ok {
		return r
	}
	parts := strings.Split(rest, "/")
	n := 1
	if first, err := url.PathUnescape(parts[0]); err != nil || !strings.Contains(first, "/") && !isUUID(first) {
		n = 3
	}
	if len(parts) < n {
		return r
	}
	names := make([]string, n)
	for i, p := range parts[:n] {
		name, err := url.PathUnescape(p)
		if err != nil || name == "" {
			return r
		}
		names[i] = name
	}
	slug := shorten(strings.Join(names, "/"))
	raw := root + "/project/" + url.PathEscape(slug)
	rest = strings.Join(parts[n:], "/")
	if rest != "" && '0' <= rest[0] && rest[0] <= '9' {
		rest = "job/" + rest
	}
	if len(parts) > n {
		raw += "/" + rest
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return r
	}
	u := *r.URL
	u.Path, u.RawPath = path, raw
	again := *r
	again.URL = &u
	return &again
}

// isUUID reports whether s has the form of a UUID.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}
