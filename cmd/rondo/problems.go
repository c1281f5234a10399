package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rondo-ci/rondo/ci/config"
	"golang.org/x/term"
)

// show prints mistakes or, with a prefix, warnings of a configuration for
// people: in colour when w is a terminal that is not asked to do without.
func show(w io.Writer, prefix string, problems ...*config.Error) {
	colour := coloured(w)
	for _, p := range problems {
		text := prefix + config.Render(p)
		if colour {
			text = paint(text, prefix, p)
		}
		fmt.Fprintln(w, strings.TrimSuffix(text, "\n"))
	}
}

// coloured reports whether to use colours: on a terminal, unless NO_COLOR is
// set or the terminal says that it knows none.
func coloured(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// The colours of problems.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	dim    = "\x1b[2m"
	plain  = "\x1b[0m"
)

// paint colours what [config.Render] printed of one problem, line by line: the
// texts stay what they are.
func paint(text, prefix string, p *config.Error) string {
	strong := red
	if prefix != "" {
		strong = yellow
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	head := strings.TrimPrefix(lines[0], prefix)
	if place, rest, ok := strings.Cut(head, ": "+p.Code+": "); ok {
		lines[0] = bold + strong + prefix + plain + bold + place + plain + ": " + strong + p.Code + plain + ": " + bold + rest + plain
	}
	for i, line := range lines[1:] {
		bar := strings.Index(line, " | ")
		switch {
		case i < 2 && p.Snippet != "" && bar >= 0:
			mark := plain
			if i == 1 {
				mark = bold + strong
			}
			lines[i+1] = dim + line[:bar+3] + plain + mark + line[bar+3:] + plain
		case strings.HasPrefix(line, "  hint: "):
			lines[i+1] = "  " + cyan + "hint:" + plain + strings.TrimPrefix(line, "  hint:")
		default:
			lines[i+1] = dim + line + plain
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// printJSON prints a value for programs.
func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
