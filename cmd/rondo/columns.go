package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/cmd/internal/screen"
)

// columns prints rows with two spaces between columns, as the nomad command
// does; the first row is the head.
func columns(w io.Writer, rows ...[]string) {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(screen.Text(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			cell = screen.Text(cell)
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// fields prints names and values, as the nomad command does.
func fields(w io.Writer, pairs ...string) {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		width = max(width, len(pairs[i]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(w, "%-*s = %s\n", width, pairs[i], screen.Text(pairs[i+1]))
	}
}

// brief is the beginning of an identity that people type.
func brief(id string) string { return id[:min(8, len(id))] }
