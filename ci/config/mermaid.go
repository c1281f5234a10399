package config

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/rondo-ci/rondo/ci"
)

// Mermaid draws the graph of a workflow as a Mermaid flowchart, which code
// hosts show inside Markdown. Approvals are diamonds. The text is the same for
// equal workflows.
func Mermaid(w ci.PlannedWorkflow) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	index := make(map[string]int, len(w.Jobs))
	for i, j := range w.Jobs {
		index[j.Name] = i
	}
	for i, j := range w.Jobs {
		open, end := "[", "]"
		switch j.Type {
		case ci.JobApproval:
			open, end = "{", "}"
		case ci.JobNoOp:
			open, end = "(", ")"
		}
		fmt.Fprintf(&b, "  j%d%s\"%s\"%s\n", i, open, mermaidText(label(j)), end)
	}
	for i, j := range w.Jobs {
		for _, r := range j.Requires {
			from, ok := index[r.Job]
			if !ok {
				continue
			}
			if len(r.Statuses) > 0 {
				fmt.Fprintf(&b, "  j%d -->|%s| j%d\n", from, mermaidText(statusList(r.Statuses)), i)
			} else {
				fmt.Fprintf(&b, "  j%d --> j%d\n", from, i)
			}
		}
	}
	return b.String()
}

// label is a job's name, with the number of its nodes.
func label(j ci.PlannedJob) string {
	if j.Parallelism > 1 {
		return fmt.Sprintf("%s ×%d", j.Name, j.Parallelism)
	}
	return j.Name
}

func statusList(all []ci.Status) string {
	var s []string
	for _, status := range all {
		s = append(s, string(status))
	}
	return strings.Join(s, ", ")
}

// mermaidText escapes a text for use inside quotes: everything that could end
// the quotes or begin markup becomes a numeric entity.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == ' ', r == '-', r == '_', r == '.', r == '/', r == ',', r == ':',
			unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
		case unicode.IsControl(r):
			b.WriteByte(' ')
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
