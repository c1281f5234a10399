package config

import "strings"

// A source is one YAML text: the configuration itself or an orb.
type source struct {
	file string // for messages
	orb  string // reference of the orb that it is; "" for the configuration
	text string
}

// line returns a line of the text, counted from 1, without its end and cut to
// a length that a terminal bears; "" when there is no such line.
func (s *source) line(n int) string {
	if s == nil || n < 1 {
		return ""
	}
	rest := s.text
	for ; n > 1; n-- {
		_, after, ok := strings.Cut(rest, "\n")
		if !ok {
			return ""
		}
		rest = after
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimRight(line, "\r")
}

// A loader turns YAML into nodes.
type loader struct {
	src    *source
	limits Limits
	report func(*Error) // a mistake
	warn   func(*Error) // a bad habit
	// anchors has the nodes that aliases may point to; nil while one is being
	// loaded, which is how cycles are seen.
	anchors map[any]*node
	slab    []node
	rest    []parts
	nodes   int64 // including those that aliases repeat
	full    bool  // the limit has been reported
}

// new returns a zero node at the given place.
func (l *loader) new(line, col int) *node {
	if len(l.slab) == 0 {
		l.slab = make([]node, 128)
	}
	n := &l.slab[0]
	l.slab = l.slab[1:]
	n.src, n.line, n.col, n.size, n.parts = l.src, int32(line), int32(col), 1, noParts
	return n
}

// parts returns zero parts.
func (l *loader) parts() *parts {
	if len(l.rest) == 0 {
		l.rest = make([]parts, 64)
	}
	p := &l.rest[0]
	l.rest = l.rest[1:]
	return p
}

// dense counts the characters that may begin a node, which bounds the number
// of nodes before anything is parsed.
func dense(text string) int {
	n := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ',', '[', '{', '\n':
			n++
		case '-', '?', ':':
			if i+1 < len(text) && (text[i+1] == ' ' || text[i+1] == '\n' || text[i+1] == '\t') {
				n++
			}
		}
	}
	return n
}
