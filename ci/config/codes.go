package config

import (
	_ "embed"
	"strings"
)

//go:embed codes.txt
var manual string

// Explain returns the manual page of an error code: what it means, an example
// of it and the way out. It returns "" for an unknown code; case does not
// matter.
func Explain(code string) string {
	for page := range strings.SplitSeq(manual, "\n= ") {
		head, body, _ := strings.Cut(strings.TrimPrefix(page, "= "), "\n")
		name, title, _ := strings.Cut(head, " ")
		if strings.EqualFold(name, code) {
			return name + ": " + title + "\n\n" + strings.Trim(body, "\n") + "\n"
		}
	}
	return ""
}

// Codes returns all error codes, those of warnings (CFG9xx) last.
func Codes() []string {
	var out []string
	for page := range strings.SplitSeq(manual, "\n= ") {
		name, _, _ := strings.Cut(strings.TrimPrefix(page, "= "), " ")
		out = append(out, name)
	}
	return out
}
