package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of the events of an action:
// the documented fields, and the action's own in payload. Fields may be added
// later, so those that it does not name are allowed, but not in the payload.
func Schema(a Action) []byte {
	text := map[string]any{"type": "string"}
	party := map[string]any{
		"type": "object", "required": []string{"id", "type"},
		"properties": map[string]any{"id": text, "type": map[string]any{"type": "string", "minLength": 1}, "name": text},
	}
	out, _ := json.MarshalIndent(map[string]any{ // it holds nothing that cannot be written
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": a.Name, "description": a.When, "type": "object",
		"required": []string{"id", "version", "action", "success", "occurred_at", "actor", "target", "scope", "payload", "metadata", "request"},
		"properties": map[string]any{
			"id":      map[string]any{"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
			"version": map[string]any{"const": 1}, "action": map[string]any{"const": a.Name}, "success": map[string]any{"type": "boolean"},
			"occurred_at": map[string]any{"type": "string", "pattern": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$`},
			"actor":       party, "target": party, "scope": party, "payload": payloadSchema(a.Payload),
			"metadata": map[string]any{"type": "object", "additionalProperties": text},
			"request": map[string]any{"type": "object", "required": []string{"id"}, "properties": map[string]any{
				"id": text, "client_trace_id": text,
				"ip_address": map[string]any{"type": "string", "pattern": `^\d{1,3}(\.\d{1,3}){3}$`},
			}},
		},
	}, "", "  ")
	return out
}

// payloadSchema is that of the fields of a payload.
func payloadSchema(fields []string) map[string]any {
	props := map[string]any{}
	deeper := map[string][]string{}
	for _, f := range fields {
		head, rest, deep := strings.Cut(f, ".")
		switch {
		case deep:
			deeper[head] = append(deeper[head], rest)
		case slices.Contains(lists, f):
			props[f] = map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
		default:
			props[f] = map[string]any{"type": "string"}
		}
	}
	for head, fields := range deeper {
		if _, text := props[head]; !text {
			props[head] = payloadSchema(fields)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": props}
}

// Table returns the catalogue as a table in Markdown, for the documentation.
func Table() string {
	var b strings.Builder
	b.WriteString("| Action | When | Target | Payload | Refused when the book is full | In the guide |\n|---|---|---|---|---|---|\n")
	yes := map[bool]string{true: "yes", false: "no"}
	for _, a := range Catalogue() {
		payload := "`" + strings.Join(a.Payload, "`, `") + "`"
		if len(a.Payload) == 0 {
			payload = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", a.Name, a.When, a.Target, payload, yes[a.Strict], yes[!a.Ours])
	}
	return b.String()
}
