package config

import (
	"cmp"
	"fmt"
	"slices"
)

// warn notes a bad habit at the place of a node.
func (c *compiler) warn(at *node, code, format string, args ...any) {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		e.src, e.Line, e.Col = at.src, int(at.line), int(at.col)
	}
	c.warnError(e)
}

// warnError notes a bad habit, once. Those inside orbs are the business of
// their authors.
func (c *compiler) warnError(e *Error) {
	if e.src != nil && e.src.orb != "" || len(c.warnings) >= maxErrors {
		return
	}
	for _, w := range c.warnings {
		if w.Line == e.Line && w.Col == e.Col && w.Code == e.Code && w.Message == e.Message {
			return
		}
	}
	if e.File == "" {
		e.File = c.o.File
	}
	c.warnings = append(c.warnings, e)
}

// sortedWarnings are the warnings in the order of their places.
func (c *compiler) sortedWarnings() []*Error {
	slices.SortStableFunc(c.warnings, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	for _, w := range c.warnings {
		w.place()
	}
	return c.warnings
}

// untrusted warns about a branch or tag name that becomes part of a shell
// command: whoever may push a branch may then run commands.
func (c *compiler) untrusted(at *node, name string) {
	if c.inShell {
		c.warn(at, "CFG908", "pipeline.%s becomes part of a shell command, and whoever pushes chooses it; use a variable like $CIRCLE_BRANCH instead", name)
	}
}
