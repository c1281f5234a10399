package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// An Error is one mistake in a configuration, or one bad habit when it came as
// a warning. [Compile] returns all mistakes of a text joined; [Errors] takes
// them apart and [Render] prints them. An Error wraps [ci.ErrInvalid], or
// [ci.ErrNotFound] when it is about an orb that the registry does not have.
type Error struct {
	// File is the name of the text, [Options.File] or an orb's reference.
	File string `json:"file"`
	// Line and Col count from 1, Col in characters; 0 is unknown.
	Line int `json:"line,omitempty"`
	Col  int `json:"column,omitempty"`
	// Code is stable, see [Explain].
	Code string `json:"code"`
	// Message says what is wrong. It may have several lines.
	Message string `json:"message"`
	// Hint says what to do about it; "" when there is nothing to add.
	Hint string `json:"hint,omitempty"`
	// Trace names what was being expanded, outermost first, in the words of
	// the original: "Error calling job: 'test'".
	Trace []string `json:"trace,omitempty"`
	// Snippet is the line in question and a second line with a caret under the
	// column; "" when the line is not known.
	Snippet string `json:"snippet,omitempty"`

	src   *source
	cause error
}

// Error returns place, code and message in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
		if e.Col > 0 {
			fmt.Fprintf(&b, ":%d", e.Col)
		}
	}
	b.WriteString(": " + e.Code + ": ")
	b.WriteString(strings.ReplaceAll(e.Message, "\n", " "))
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the sentinel of package ci that the error amounts to.
func (e *Error) Unwrap() error {
	if e.cause != nil {
		return e.cause
	}
	return ci.ErrInvalid
}

// Errors returns the mistakes that err is or joins, in order of their places.
// It returns nil for an error of another kind.
func Errors(err error) []*Error {
	var one *Error
	switch joined := err.(type) {
	case nil:
		return nil
	case *Error:
		return []*Error{joined}
	case interface{ Unwrap() []error }:
		var all []*Error
		for _, e := range joined.Unwrap() {
			all = append(all, Errors(e)...)
		}
		return all
	}
	if errors.As(err, &one) {
		return []*Error{one}
	}
	return Errors(errors.Unwrap(err))
}

// Render prints an error of this package for people: for each mistake its
// place and message, the line with a caret, what was being expanded, and a
// hint. Other errors are printed as they are. Control characters of the
// source are replaced, so the text is safe on a terminal.
func Render(err error) string {
	all := Errors(err)
	if len(all) == 0 {
		if err == nil {
			return ""
		}
		return err.Error() + "\n"
	}
	var b strings.Builder
	for i, e := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		e.render(&b)
	}
	return b.String()
}

func (e *Error) render(b *strings.Builder) {
	head := *e
	head.Hint = ""
	b.WriteString(clean(head.Error()) + "\n")
	if e.Snippet != "" {
		line, caret, _ := strings.Cut(e.Snippet, "\n")
		number := fmt.Sprint(e.Line)
		fmt.Fprintf(b, "  %s | %s\n  %s | %s\n", number, line, strings.Repeat(" ", len(number)), caret)
	}
	for _, t := range e.Trace {
		b.WriteString("  " + clean(t) + "\n")
	}
	if e.Hint != "" {
		b.WriteString("  hint: " + clean(e.Hint) + "\n")
	}
}

// Script prints an error as the shell script of the pseudo job "Build Error",
// the way the original shows configuration errors: comment lines, then false.
func Script(err error) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh -eo pipefail\n")
	comment := func(s string) {
		for line := range strings.SplitSeq(s, "\n") {
			b.WriteString("# " + clean(line) + "\n")
		}
	}
	if all := Errors(err); len(all) > 0 {
		for _, e := range all {
			for _, t := range e.Trace {
				comment(t)
			}
			comment(e.Message)
		}
	} else {
		comment(err.Error())
	}
	b.WriteString("# \n# -------\n" +
		"# Warning: This configuration was auto-generated to show you the message above.\n" +
		"# Don't rerun this job. Rerunning will have no effect.\nfalse\n")
	return b.String()
}

// clean replaces what a terminal might obey.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// place fills in file and snippet.
func (e *Error) place() {
	if e.src == nil {
		return
	}
	e.File = e.src.file
	line := e.src.line(e.Line)
	if e.Code == "CFG906" { // the line holds a secret
		return
	}
	if line == "" || !utf8.ValidString(line) {
		return
	}
	runes := []rune(line)
	col := min(max(e.Col, 1), len(runes)+1) - 1
	if e.Line == 1 && len(runes) > 0 && runes[0] == '\uFEFF' {
		runes = runes[1:]
		col = min(col, len(runes))
	}
	const before, after = 80, 80
	prefix := ""
	if col > before {
		runes, col, prefix = runes[col-before:], before, "..."
	}
	suffix := ""
	if len(runes) > col+after {
		runes, suffix = runes[:col+after], "..."
	}
	pad := make([]rune, 0, col+len(prefix)+1)
	for range prefix {
		pad = append(pad, ' ')
	}
	for _, r := range runes[:col] {
		if r != '\t' {
			r = ' '
		}
		pad = append(pad, r)
	}
	e.Snippet = prefix + clean(string(runes)) + suffix + "\n" + string(pad) + "^"
}

// hints are what to do about a code in general, for mistakes that came without
// a better one.
var hints = map[string]string{
	"CFG002": "keys are texts, and a merge key is written <<: *anchor",
	"CFG003": "write less of it, or raise the limit of the installation",
	"CFG011": "add the key, or check the indentation of the lines below",
	"CFG014": "choose another name",
	"CFG013": "write one of the values that the message names",
	"CFG022": "define it under the top-level key executors",
	"CFG024": "the form is namespace/name@version, like circleci/node@5.2.0",
	"CFG026": "break the circle: one of these has to go",
	"CFG032": "pass a value of that type; a list or a map can only be a whole value, not part of a text",
	"CFG034": "declare it under the key parameters of what it stands in",
	"CFG035": "there are id, number, git.branch, git.tag, git.revision, project.slug, trigger_source, parameters.* and more",
	"CFG033": "a parameter has a type and a default, like {type: string, default: main}",
	"CFG040": "a statement is a literal, a << >>, or a map with one of and, or, not, equal, matches",
	"CFG041": "write a map, or an expression like pipeline.git.branch == \"main\"",
	"CFG054": "name a parameter of the matrix",
	"CFG055": "use a simpler expression",
	"CFG056": "write schedule: {cron: \"0 4 * * 1-5\", filters: {branches: {only: main}}}",
}

// maxErrors is how many mistakes are reported of one text.
const maxErrors = 100

// join makes one error of many, in the order of their places.
func join(all []*Error) error {
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(order(a.src), order(b.src)),
			cmp.Compare(uint(a.Line-1), uint(b.Line-1)), // without a place: last
			cmp.Compare(a.Col, b.Col),
		)
	})
	errs := make([]error, 0, len(all))
	for _, e := range all {
		e.place()
		if e.Hint == "" {
			e.Hint = hints[e.Code]
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// order puts the configuration itself before the orbs.
func order(s *source) string {
	if s == nil || s.orb == "" {
		return ""
	}
	return s.orb
}
