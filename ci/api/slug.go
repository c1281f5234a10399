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
	base := belowProject(r)
	slug, rest, ok := gather(r, base, 3)
	if !ok {
		return r
	}
	if len(rest) > 1 && '0' <= rest[1] && rest[1] <= '9' {
		rest = "/job" + rest
	}
	return at(r, base+url.PathEscape(slug)+rest)
}

// gather reads a slug of n parts that stands below the prefix in the address:
// as so many segments, as one with the slashes escaped, or as an identity. What
// follows it is still escaped; it is empty or begins with a slash.
func gather(r *http.Request, prefix string, n int) (slug, rest string, ok bool) {
	below, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix)
	if !ok {
		return "", "", false
	}
	parts := strings.Split(below, "/")
	if first, err := url.PathUnescape(parts[0]); err == nil && (strings.Contains(first, "/") || isUUID(first)) {
		n = 1
	}
	if len(parts) < n {
		return "", "", false
	}
	names := make([]string, n)
	for i, p := range parts[:n] {
		name, err := url.PathUnescape(p)
		if err != nil || name == "" {
			return "", "", false
		}
		names[i] = name
	}
	if len(parts) > n {
		rest = "/" + strings.Join(parts[n:], "/")
	}
	return shorten(strings.Join(names, "/")), rest, true
}

// at returns the request as if it had been made of the escaped path.
func at(r *http.Request, raw string) *http.Request {
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
