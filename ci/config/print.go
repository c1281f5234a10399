package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A printer writes nodes as YAML, in block style, so that readers of YAML 1.1
// and of YAML 1.2 see the same values.
type printer struct {
	b   []byte
	max int // bytes; when they are exceeded the printer stops
}

// full reports whether the limit is exceeded.
func (p *printer) full() bool { return p.max > 0 && len(p.b) > p.max }

func (p *printer) indent(n int) {
	const blanks = "                                "
	for n > len(blanks) {
		p.b = append(p.b, blanks...)
		n -= len(blanks)
	}
	p.b = append(p.b, blanks[:n]...)
}

// fields writes the entries of a map, the first one without indentation when
// the cursor is there already.
func (p *printer) fields(fields []field, at int, inline bool) {
	for i := range fields {
		if p.full() {
			return
		}
		if i > 0 || !inline {
			p.indent(at)
		}
		key := fields[i].key
		start := len(p.b)
		p.key(key)
		if len(p.b)-start > 1000 { // too long for a simple key
			p.b = p.b[:start]
			p.b = append(p.b, "? "...)
			p.key(key)
			p.b = append(p.b, '\n')
			p.indent(at)
		}
		p.b = append(p.b, ':')
		p.below(fields[i].value, at)
	}
}

// key writes the key of a map. Keys that are not texts, like 1 or true, are
// written as they were.
func (p *printer) key(k *node) {
	if k.kind != stringKind {
		p.b = append(p.b, k.text...)
		if k.text == "" {
			p.b = append(p.b, "null"...)
		}
		return
	}
	p.flow(k.text)
}

// below writes a value behind the colon of a key at the given indentation, or
// behind a dash; and the end of the line.
func (p *printer) below(n *node, at int) {
	switch {
	case n != nil && n.kind == mapKind && len(n.fields) > 0:
		p.b = append(p.b, '\n')
		p.fields(n.fields, at+2, false)
	case n != nil && n.kind == listKind && len(n.items) > 0:
		p.b = append(p.b, '\n')
		p.items(n.items, at)
	default:
		p.b = append(p.b, ' ')
		p.scalar(n, at)
		p.b = append(p.b, '\n')
	}
}

// items writes the entries of a list, with the dashes at the given column.
func (p *printer) items(items []*node, at int) {
	for _, n := range items {
		if p.full() {
			return
		}
		p.indent(at)
		p.b = append(p.b, '-')
		switch {
		case n != nil && n.kind == mapKind && len(n.fields) > 0:
			p.b = append(p.b, ' ')
			p.fields(n.fields, at+2, true)
		case n != nil && n.kind == listKind && len(n.items) > 0:
			p.b = append(p.b, '\n')
			p.items(n.items, at+2)
		default:
			p.b = append(p.b, ' ')
			p.scalar(n, at)
			p.b = append(p.b, '\n')
		}
	}
}

// scalar writes a scalar, or an empty list or map.
func (p *printer) scalar(n *node, at int) {
	switch {
	case n.isNull():
		p.b = append(p.b, "null"...)
	case n.kind == listKind:
		p.b = append(p.b, "[]"...)
	case n.kind == mapKind:
		p.b = append(p.b, "{}"...)
	case n.kind != stringKind:
		p.b = append(p.b, n.text...)
	case strings.IndexByte(n.text, '\n') >= 0 && isBlock(n.text):
		p.block(n.text, at+2)
	default:
		p.flow(n.text)
	}
}

// isBlock reports whether a text of several lines can be a literal block.
func isBlock(s string) bool {
	if s[0] == '\n' || s[0] == ' ' {
		return false
	}
	for i := 0; i < len(s); i++ {
		ch := s[i]
		if ch >= utf8.RuneSelf {
			return isPrintable(s)
		}
		if ch < ' ' && ch != '\n' && ch != '\t' || ch == 0x7F {
			return false
		}
	}
	last := strings.TrimRight(s, "\n")
	last = last[strings.LastIndexByte(last, '\n')+1:]
	return strings.Trim(last, " \t") != "" && s[0] != '\t'
}

// isPrintable reports whether all characters may stand in a YAML text as they
// are.
func isPrintable(s string) bool {
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
		case r < ' ' || r == 0x7F || r == utf8.RuneError || r == '\uFEFF' || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return false
		case r > 0x7F && !unicode.IsGraphic(r):
			return false
		}
	}
	last := strings.TrimRight(s, "\n")
	last = last[strings.LastIndexByte(last, '\n')+1:]
	return strings.Trim(last, " \t") != "" && s[0] != '\t'
}

// block writes a literal block.
func (p *printer) block(s string, at int) {
	p.b = append(p.b, '|')
	switch {
	case !strings.HasSuffix(s, "\n"):
		p.b = append(p.b, '-')
	case strings.HasSuffix(s, "\n\n"):
		p.b = append(p.b, '+')
	default:
	}
	body := strings.TrimSuffix(s, "\n")
	for line := range strings.SplitSeq(body, "\n") {
		p.b = append(p.b, '\n')
		if line != "" {
			p.indent(at)
			p.b = append(p.b, line...)
		}
	}
}

// flow writes a text on one line: plain when that is safe, else in quotes.
func (p *printer) flow(s string) {
	plain, single := quoting(s)
	switch {
	case plain:
		p.b = append(p.b, s...)
	case single:
		p.b = append(p.b, '\'')
		for {
			i := strings.IndexByte(s, '\'')
			if i < 0 {
				break
			}
			p.b = append(p.b, s[:i+1]...)
			p.b = append(p.b, '\'')
			s = s[i+1:]
		}
		p.b = append(p.b, s...)
		p.b = append(p.b, '\'')
	default:
		p.double(s)
	}
}

// quoting reports whether a text may be written plain, and whether single
// quotes are enough when it may not.
func quoting(s string) (plain, single bool) {
	if s == "" {
		return false, true
	}
	plain = true
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case ch >= utf8.RuneSelf:
			if !isPrintable(s) || strings.ContainsAny(s, "\n\t") {
				return false, false
			}
			return plain && plainStart(s) && !strings.Contains(s[i:], ": ") && !strings.Contains(s[i:], " #") && s[len(s)-1] != ':' && s[len(s)-1] != ' ', true
		case ch < ' ' || ch == 0x7F:
			return false, false
		case ch == ':' && (i+1 == len(s) || s[i+1] == ' '):
			plain = false
		case ch == ' ' && (i+1 == len(s) || s[i+1] == '#'):
			plain = false
		}
	}
	return plain && plainStart(s), true
}

// plainStart reports whether the beginning of a text, and its being taken for
// another type, allow that it is written plain.
func plainStart(s string) bool {
	switch ch := s[0]; {
	case strings.IndexByte(" ?:,[]{}#&*!|>'\"%@`=<", ch) >= 0:
		return ch == '<' && s != "<<"
	case ch >= '0' && ch <= '9' || ch == '+' || ch == '.' || ch == '-':
		if s == "-" || strings.HasPrefix(s, "- ") || strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") {
			return false
		}
		return strings.Trim(s, "0123456789abcdefABCDEFxXoO_+-.:TtZz infINFaA") != ""
	case len(s) <= 5:
		switch s {
		case "y", "Y", "n", "N", "~":
			return false
		}
		k, _ := resolve(s)
		return k == stringKind
	}
	return true
}

// double writes a text in double quotes.
func (p *printer) double(s string) {
	p.b = append(p.b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			p.b = append(p.b, '\\', byte(r))
		case r == '\n':
			p.b = append(p.b, '\\', 'n')
		case r == '\t':
			p.b = append(p.b, '\\', 't')
		case r < 0x20 || r >= 0x7F && r <= 0xA0:
			p.b = fmt.Appendf(p.b, `\x%02x`, r)
		case r < utf8.RuneSelf || unicode.IsGraphic(r) && r != utf8.RuneError:
			p.b = utf8.AppendRune(p.b, r)
		case r > 0xFFFF:
			p.b = fmt.Appendf(p.b, `\U%08x`, r)
		default:
			p.b = fmt.Appendf(p.b, `\u%04x`, r)
		}
	}
	p.b = append(p.b, '"')
}
