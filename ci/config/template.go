package config

import (
	"strings"
)

// A token is a piece of a text with << >> in it.
type token struct {
	kind tokenKind
	text string // literal text, or what stands between << and >>, trimmed
	raw  string // the tag as written
	// alone says that a section tag had a line for itself, which is gone.
	alone bool
}

type tokenKind uint8

const (
	literalToken  tokenKind = iota
	valueToken              // << name >>
	openToken               // <<# name >>
	invertedToken           // <<^ name >>
	closeToken              // <</ name >>
)

// tokenize splits a text at its tags. It returns the rest behind an << without
// >> as open, or "".
func tokenize(s string) (tokens []token, open string) {
	literal := func(t string) {
		if t != "" {
			tokens = append(tokens, token{kind: literalToken, text: t})
		}
	}
	for {
		i := strings.Index(s, "<<")
		if i < 0 {
			literal(s)
			return tokens, ""
		}
		if i > 0 && s[i-1] == '\\' {
			literal(s[:i-1] + "<<")
			s = s[i+2:]
			continue
		}
		end := strings.Index(s[i+2:], ">>")
		if end < 0 {
			literal(s[:i])
			return tokens, s[i:]
		}
		tag := token{kind: valueToken, raw: s[i : i+2+end+2], text: s[i+2 : i+2+end]}
		before, after := s[:i], s[i+2+end+2:]
		if tag.text != "" {
			switch tag.text[0] {
			case '#':
				tag.kind = openToken
			case '^':
				tag.kind = invertedToken
			case '/':
				tag.kind = closeToken
			}
		}
		if tag.kind != valueToken {
			tag.text = tag.text[1:]
			b, a := alone(tokens, before, after)
			tag.alone = len(b) != len(before) || len(a) != len(after)
			before, after = b, a
		}
		tag.text = strings.TrimSpace(tag.text)
		literal(before)
		tokens = append(tokens, tag)
		s = after
	}
}

// alone removes the line of a section tag that has the line for itself: the
// blanks before it and behind it and the end of the line.
func alone(tokens []token, before, after string) (string, string) {
	start := len(before)
	for start > 0 && (before[start-1] == ' ' || before[start-1] == '\t') {
		start--
	}
	if start > 0 && before[start-1] != '\n' || start == 0 && len(tokens) > 0 && !lineStart(tokens) {
		return before, after
	}
	end := 0
	for end < len(after) && (after[end] == ' ' || after[end] == '\t' || after[end] == '\r') {
		end++
	}
	switch {
	case end == len(after):
		return before[:start], ""
	case after[end] == '\n':
		return before[:start], after[end+1:]
	}
	return before, after
}

// lineStart reports whether the tokens so far end at the beginning of a line:
// behind a line's end, or behind a section tag that had a line for itself.
func lineStart(tokens []token) bool {
	last := tokens[len(tokens)-1]
	switch last.kind {
	case literalToken:
		return strings.HasSuffix(last.text, "\n")
	case valueToken:
		return false
	}
	return last.alone
}

// onlyTag returns the tag when the text is one tag and nothing else but blanks.
func onlyTag(tokens []token) (token, bool) {
	var tag token
	found := false
	for _, t := range tokens {
		switch {
		case t.kind == valueToken && !found:
			tag, found = t, true
		case t.kind == literalToken && strings.TrimSpace(t.text) == "":
		default:
			return token{}, false
		}
	}
	return tag, found
}

// isName reports whether a tag's text is a plain dotted name.
func isName(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '_' || c == '-' || c == '.' {
			continue
		}
		return false
	}
	return true
}
