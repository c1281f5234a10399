package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

// object is a JSON object in the making.
type object = map[string]any

// openAPI serves the description of the table that serves it.
func (c *call) openAPI() (any, error) {
	return c.description(c.spec)
}

// openAPI1 does so for v1.1.
func (c *call) openAPI1() (any, error) { return c.description(c.spec1) }

func (c *call) description(text []byte) (any, error) {
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	c.w.Header().Set("Cache-Control", "max-age=60")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(text)
	return written, nil
}

// describe writes the table as OpenAPI 3.0. The server is where the paths
// begin.
func describe(table []route, version, server string) []byte {
	schemas := &schemas{byName: object{}}
	failure := object{"description": "An error", "content": content(schemas.of(message{}))}
	failures := object{"description": "An error", "content": content(schemas.of(bothMessages{}))}
	paths := object{}
	for _, r := range table {
		shown, parameters := documentedPath(r)
		op := object{
			"summary": r.summary, "tags": []string{r.tag}, "operationId": operationID(r.method, shown),
			"responses": object{statusText(r.status): success(schemas, r), "default": failure},
		}
		if len(parameters) > 0 {
			op["parameters"] = parameters
		}
		if r.request != nil {
			op["requestBody"] = object{"content": content(schemas.of(r.request))}
		}
		if r.errorKey {
			op["responses"].(object)["default"] = failures
		}
		if r.open {
			op["security"] = []any{}
		}
		if paths[shown] == nil {
			paths[shown] = object{}
		}
		paths[shown].(object)[strings.ToLower(r.method)] = op
	}
	doc := object{
		"openapi": "3.0.3",
		"info":    object{"title": "Rondo API", "version": version, "description": "The API of Rondo, in the form of CircleCI's API " + version + "."},
		"servers": []any{object{"url": server}},
		"paths":   paths,
		"components": object{
			"schemas": schemas.byName,
			"securitySchemes": object{
				"api_key_header": object{"type": "apiKey", "in": "header", "name": "Circle-Token"},
				"bearer_auth":    object{"type": "http", "scheme": "bearer"},
				"basic_auth":     object{"type": "http", "scheme": "basic"},
				"api_key_query":  object{"type": "apiKey", "in": "query", "name": "circle-token"},
			},
		},
		"security": []any{
			object{"api_key_header": []any{}}, object{"bearer_auth": []any{}},
			object{"basic_auth": []any{}}, object{"api_key_query": []any{}},
		},
	}
	data, _ := json.Marshal(doc) // strings, maps and slices only
	return data
}

// success describes the good reply of a route.
func success(s *schemas, r route) object {
	out := object{"description": r.summary}
	switch {
	case r.response != nil:
		out["content"] = content(s.of(r.response))
	case r.path == "/openapi.json":
		out["content"] = content(object{"type": "object"})
	default:
		out["content"] = object{"*/*": object{"schema": object{"type": "string", "format": "binary"}}}
	}
	return out
}

func content(schema any) object { return object{"application/json": object{"schema": schema}} }

var wildcard = regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`)

// documentedPath returns the path with names as clients know them, and its
// parameters.
func documentedPath(r route) (string, []any) {
	path := r.path
	if r.shown != "" {
		path = r.shown
	}
	var parameters []any
	add := func(name, in, text string, required bool) {
		p := object{"name": name, "in": in, "schema": object{"type": "string"}}
		if text = strings.TrimSpace(text); text != "" {
			p["description"] = text
		}
		if required {
			p["required"] = true
		}
		parameters = append(parameters, p)
	}
	path = wildcard.ReplaceAllStringFunc(path, func(w string) string {
		name := strings.ReplaceAll(strings.Trim(w, "{.}"), "_", "-")
		add(name, "path", "", true)
		return "{" + name + "}"
	})
	for _, q := range r.query {
		name, text, _ := strings.Cut(q, ":")
		add(name, "query", text, false)
	}
	return path, parameters
}

// operationID makes a name for an operation that generators of clients like.
func operationID(method, path string) string {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, path)
	return strings.ToLower(method) + strings.TrimRight(name, "_")
}
