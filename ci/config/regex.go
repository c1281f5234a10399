package config

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

const (
	// maxPattern is the length of a regular expression.
	maxPattern = 4096
	// matchTime is how long one backtracking match may take, and matchTimes
	// how often it may take that long in one compile.
	matchTime  = 100 * time.Millisecond
	matchTimes = 3
)

// A pattern is a compiled regular expression that is matched against whole
// texts.
type pattern struct {
	// linear is set when the expression needs no backtracking; it then takes
	// time in proportion to the text.
	linear *regexp.Regexp
	back   *regexp2.Regexp
	err    string
}

// newPattern compiles an expression of Java's dialect. Most expressions have
// the same meaning in RE2, which no input can slow down; those with look-around
// or back references go to the backtracking engine.
func newPattern(expr string) *pattern {
	if len(expr) > maxPattern {
		return &pattern{err: "it is longer than the limit of 4096 characters"}
	}
	anchored := `\A(?:` + expr + `)\z`
	if !strings.Contains(expr, `\Z`) {
		_, err := syntax.Parse(expr, syntax.Perl) // by itself: parentheses must be its own
		if err == nil {
			if re, err := regexp.Compile(anchored); err == nil {
				return &pattern{linear: re}
			}
		} else if strings.Contains(err.Error(), "nests too deeply") || strings.Contains(err.Error(), "too large") ||
			strings.Contains(err.Error(), "invalid repeat count") && !strings.Contains(expr, "(?") {
			return &pattern{err: "it is too big: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
		}
	}
	if p := backtracking(expr); p.err != "" {
		return p
	}
	return backtracking(anchored)
}

// backtracking compiles for the engine with look-around. A panic of that
// engine is an invalid expression.
func backtracking(expr string) (p *pattern) {
	defer func() {
		if r := recover(); r != nil {
			p = &pattern{err: "the expression cannot be read"}
		}
	}()
	re, err := regexp2.Compile(possessive(expr), regexp2.None)
	if err != nil {
		msg := err.Error()
		if i := strings.Index(msg, " in `"); i > 0 {
			msg = msg[:i]
		}
		return &pattern{err: strings.TrimPrefix(msg, "error parsing regexp: ")}
	}
	re.MatchTimeout = matchTime
	return &pattern{back: re}
}

// possessive drops the + of possessive quantifiers (a++, a*+, a?+), which only
// save work in Java and are unknown to the engine here.
func possessive(expr string) string {
	if !strings.Contains(expr, "++") && !strings.Contains(expr, "*+") && !strings.Contains(expr, "?+") && !strings.Contains(expr, "}+") {
		return expr
	}
	var b strings.Builder
	class, quantified := false, false
	for i := 0; i < len(expr); i++ {
		ch := expr[i]
		switch {
		case ch == '\\' && i+1 < len(expr):
			b.WriteByte(ch)
			i++
			b.WriteByte(expr[i])
			quantified = false
			continue
		case ch == '[':
			class = true
		case ch == ']':
			class = false
		case ch == '+' && quantified && !class:
			quantified = false
			continue
		}
		quantified = !class && (ch == '+' || ch == '*' || ch == '}' || ch == '?' && i > 0 && expr[i-1] != '(')
		b.WriteByte(ch)
	}
	return b.String()
}

// compilePattern returns the compiled expression, reporting a bad one.
func (c *compiler) compilePattern(expr string, at *node) *pattern {
	p, ok := c.regexps[expr]
	if !ok {
		p = newPattern(expr)
		c.regexps[expr] = p
		c.work(len(expr))
	}
	if p.err != "" {
		c.fail(at, "CFG055", "the regular expression %q is not valid: %s", clip(expr, 80), p.err).Hint =
			"a Java regular expression that matches the whole name, like release-.* between slashes; \\ makes ( ) [ . * + ? literal"
	}
	return p
}

// match reports whether the expression matches the whole text.
func (c *compiler) match(expr, s string, at *node) bool {
	p := c.compilePattern(expr, at)
	switch {
	case p.err != "" || c.dead:
		return false
	case len(s) > 64<<10:
		c.fail(at, "CFG055", "a text of %d bytes is too long to match", len(s))
		return false
	case p.linear != nil:
		c.work(len(s)/16 + 1)
		return p.linear.MatchString(s)
	}
	ok, err := p.back.MatchString(s)
	if err != nil {
		c.fail(at, "CFG055", "the regular expression %q takes more than %v on a text of %d bytes", clip(expr, 80), matchTime, len(s))
		if c.slow++; c.slow >= matchTimes {
			c.abort(at, "CFG003", "more than %d regular expressions take too long", matchTimes)
		}
	}
	return ok
}
