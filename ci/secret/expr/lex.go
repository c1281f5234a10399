package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// A kind says what a token is.
type kind int

const (
	end     kind = iota
	word         // identifier, number or operator in letters
	sign         // operator in signs, or a parenthesis
	quoted       // text without its quotes and escapes
	pattern      // regular expression without its slashes
)

// A token is the smallest part of an expression.
type token struct {
	kind kind
	text string
	at   int // offset in bytes
}

// is reports whether the token is the word or sign.
func (t token) is(text string) bool { return (t.kind == word || t.kind == sign) && t.text == text }

// String returns the token for a message.
func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case quoted:
		return "a text"
	case pattern:
		return "a regular expression"
	}
	if len(t.text) > 60 {
		return strings.ToValidUTF8(t.text[:60], "") + "..."
	}
	return t.text
}

// A lexer cuts an expression into tokens.
type lexer struct {
	in  string
	pos int
}

// mistake returns an error at an offset.
func (l *lexer) mistake(at int, format string, args ...any) error {
	col := utf8.RuneCountInString(l.in[:min(at, len(l.in))]) + 1
	return &Error{Col: col, Text: fmt.Sprintf(format, args...), Cause: ci.ErrInvalid}
}

// next reads a token. Blanks are space, tab and line breaks.
func (l *lexer) next() (token, error) {
	for l.pos < len(l.in) && strings.IndexByte(" \t\n\r", l.in[l.pos]) >= 0 {
		l.pos++
	}
	start := l.pos
	if start == len(l.in) {
		return token{end, "", start}, nil
	}
	switch c := l.in[start]; {
	case c == '"':
		return l.quoted()
	case c == '/':
		return l.pattern()
	case c == '(' || c == ')':
		l.pos++
	case strings.IndexByte("=!<>", c) >= 0:
		l.pos++
		if l.pos < len(l.in) && l.in[l.pos] == '=' {
			l.pos++
		}
		if l.in[start:l.pos] == "=" {
			return token{}, l.mistake(start, "= is no operator, write ==")
		}
	case inWord(c):
		for l.pos < len(l.in) && inWord(l.in[l.pos]) {
			l.pos++
		}
		return token{word, l.in[start:l.pos], start}, nil
	case c == '\'':
		return token{}, l.mistake(start, `texts stand in double quotes, as in "main"`)
	case c == '&' || c == '|':
		return token{}, l.mistake(start, "%c is no operator, write and or or", c)
	default:
		r, _ := utf8.DecodeRuneInString(l.in[start:])
		return token{}, l.mistake(start, "%q has no meaning here", r)
	}
	return token{sign, l.in[start:l.pos], start}, nil
}

// inWord reports whether a byte may stand in a word.
func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}

// quoted reads a text in double quotes.
func (l *lexer) quoted() (token, error) {
	start := l.pos
	var b strings.Builder
	for l.pos++; l.pos < len(l.in); l.pos++ {
		switch c := l.in[l.pos]; c {
		case '"':
			l.pos++
			return token{quoted, b.String(), start}, nil
		case '\\':
			l.pos++
			if l.pos == len(l.in) || l.in[l.pos] != '"' && l.in[l.pos] != '\\' {
				return token{}, l.mistake(l.pos-1, `the only escapes are \" and \\`)
			}
			b.WriteByte(l.in[l.pos])
		default:
			b.WriteByte(c)
		}
	}
	return token{}, l.mistake(start, "a text has no closing quote")
}

// pattern reads a regular expression between slashes; \/ is a slash in it.
func (l *lexer) pattern() (token, error) {
	start := l.pos
	var b strings.Builder
	for l.pos++; l.pos < len(l.in); l.pos++ {
		c := l.in[l.pos]
		if c == '/' {
			l.pos++
			return token{pattern, b.String(), start}, nil
		}
		if c == '\\' && l.pos+1 < len(l.in) {
			l.pos++
			if l.in[l.pos] != '/' {
				b.WriteByte(c)
			}
			c = l.in[l.pos]
		}
		b.WriteByte(c)
	}
	return token{}, l.mistake(start, "a regular expression has no closing slash")
}
