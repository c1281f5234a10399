package graphql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A token is the smallest part of a document. Its kind is the character of a
// punctuator, or one of the words below.
type token struct {
	kind string
	text string // of a name or number, or the value of a string
	at   place
}

const (
	tokenEnd    = "the end"
	tokenName   = "a name"
	tokenNumber = "a number"
	tokenString = "a string"
	tokenSpread = "..."
)

// A scanner cuts a document into tokens.
type scanner struct {
	text string
	pos  int
	line int
	// column is that of what is at mark, so that a long line is counted once.
	column int
	mark   int
}

// here is the place of the next character.
func (s *scanner) here() place {
	s.column += utf8.RuneCountInString(s.text[s.mark:s.pos])
	s.mark = s.pos
	return place{s.line, s.column}
}

// newline notes that a line ends at the next character.
func (s *scanner) newline() { s.line, s.column, s.mark = s.line+1, 1, s.pos+1 }

// A mistake is an error in a document, at a place.
type mistake struct {
	at   place
	text string
}

// Error returns the text with the place.
func (m *mistake) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", m.at.Line, m.at.Column, m.text)
}

func wrong(at place, format string, args ...any) error {
	return &mistake{at, fmt.Sprintf(format, args...)}
}

// blank skips what means nothing: blanks, commas, line ends and comments.
func (s *scanner) blank() {
	for ; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case ' ', '\t', '\r', ',':
		case '\n':
			s.newline()
		case '#':
			end := strings.IndexByte(s.text[s.pos:], '\n')
			if end < 0 {
				end = len(s.text) - s.pos
			}
			s.pos += end - 1
		default:
			return
		}
	}
}

// next returns the next token.
func (s *scanner) next() (token, error) {
	s.blank()
	t := token{at: s.here()}
	if s.pos == len(s.text) {
		t.kind = tokenEnd
		return t, nil
	}
	c := s.text[s.pos]
	switch {
	case strings.IndexByte("!$&()[]{}:=@|", c) >= 0:
		t.kind = s.text[s.pos : s.pos+1]
		s.pos++
	case strings.HasPrefix(s.text[s.pos:], "..."):
		t.kind = tokenSpread
		s.pos += 3
	case isLetter(c):
		t.kind, t.text = tokenName, s.while(func(c byte) bool { return isLetter(c) || isDigit(c) })
	case isDigit(c), c == '-':
		t.kind, t.text = tokenNumber, s.while(func(c byte) bool { return isDigit(c) || strings.IndexByte("+-.eE", c) >= 0 })
	case strings.HasPrefix(s.text[s.pos:], `"""`):
		t.kind = tokenString
		return t, s.block(&t)
	case c == '"':
		t.kind = tokenString
		return t, s.quoted(&t)
	default:
		r, _ := utf8.DecodeRuneInString(s.text[s.pos:])
		return t, wrong(t.at, "%q means nothing here", r)
	}
	return t, nil
}

// while reads as long as the characters fit.
func (s *scanner) while(fits func(byte) bool) string {
	from := s.pos
	for s.pos < len(s.text) && fits(s.text[s.pos]) {
		s.pos++
	}
	return s.text[from:s.pos]
}

// quoted reads a string in single quotation marks.
func (s *scanner) quoted(t *token) error {
	var b strings.Builder
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; c {
		case '"':
			s.pos++
			t.text = b.String()
			return nil
		case '\n':
			return wrong(t.at, "this string does not end in its line; a longer one is written in \"\"\"")
		case '\\':
			r, n, ok := escape(s.text[s.pos+1:])
			if !ok {
				return wrong(s.here(), "this is no escape of a string")
			}
			b.WriteRune(r)
			s.pos += n
		default:
			b.WriteByte(c)
		}
	}
	return wrong(t.at, "this string does not end")
}

// escape reads what stands behind a backslash: the character and how many
// bytes it took.
func escape(s string) (rune, int, bool) {
	if s == "" {
		return 0, 0, false
	}
	if i := strings.IndexByte(`"\/bfnrt`, s[0]); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), 1, true
	}
	if s[0] != 'u' || len(s) < 5 {
		return 0, 0, false
	}
	r, ok := hex4(s[1:5])
	if ok && 0xd800 <= r && r < 0xdc00 && len(s) >= 11 && s[5] == '\\' && s[6] == 'u' {
		if low, ok := hex4(s[7:11]); ok && 0xdc00 <= low && low < 0xe000 {
			return 0x10000 + (r-0xd800)<<10 + low - 0xdc00, 11, true
		}
	}
	return r, 5, ok // half a pair becomes U+FFFD when it is written
}

func hex4(s string) (r rune, ok bool) {
	for _, c := range []byte(s) {
		i := strings.IndexByte("0123456789abcdef", c|0x20)
		if i < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(i)
	}
	return r, true
}

// block reads a string between triple quotation marks: as it is, without the
// indentation that its lines share and without empty lines around it.
func (s *scanner) block(t *token) error {
	var b strings.Builder
	for s.pos += 3; s.pos < len(s.text); s.pos++ {
		rest := s.text[s.pos:]
		switch {
		case strings.HasPrefix(rest, `\"""`):
			b.WriteString(`"""`)
			s.pos += 3
		case strings.HasPrefix(rest, `"""`):
			s.pos += 3
			t.text = dedent(b.String())
			return nil
		default:
			if rest[0] == '\n' {
				s.newline()
			}
			b.WriteByte(rest[0])
		}
	}
	return wrong(t.at, "this string does not end")
}

// dedent removes the common indentation of all lines but the first, and the
// empty lines at both ends.
func dedent(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	common := -1
	for _, l := range lines[1:] {
		if n := len(l) - len(strings.TrimLeft(l, " \t")); n < len(l) && (common < 0 || n < common) {
			common = n
		}
	}
	for i := range lines[1:] {
		lines[i+1] = lines[i+1][min(max(common, 0), len(lines[i+1])):]
	}
	for len(lines) > 0 && strings.TrimLeft(lines[0], " \t") == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimLeft(lines[len(lines)-1], " \t") == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
