package web

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A style is the colours and attributes that SGR sequences have set. Colours
// are 0 for the default, else 1 + the index in the palette of 256.
type style struct {
	fg, bg uint16
	attr   uint8
}

// The attributes of a style, in the order of attrClasses.
const (
	bold = 1 << iota
	faint
	italic
	underline
	inverse
	strike
)

const attrClasses = "BDIUVS"

// A pen is the state between two pieces of a step's output: the style, and
// whether the next piece goes on in the middle of a line.
type pen struct {
	style style
	mid   bool
}

// String returns the pen in a form that suits addresses; "" is the zero pen.
func (p pen) String() string {
	n := uint64(p.style.fg)<<20 | uint64(p.style.bg)<<10 | uint64(p.style.attr)<<1
	if p.mid {
		n |= 1
	}
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 36)
}

// parsePen is the inverse of String.
func parsePen(s string) (pen, error) {
	if s == "" {
		return pen{}, nil
	}
	n, err := strconv.ParseUint(s, 36, 30)
	p := pen{style: style{fg: uint16(n >> 20), bg: uint16(n >> 10 & 1023), attr: uint8(n >> 1 & 63)}, mid: n&1 == 1}
	if err != nil || p.style.fg > 256 || p.style.bg > 256 || p.String() != s {
		return pen{}, fmt.Errorf("pen %q", s)
	}
	return p, nil
}

// classes returns the style's CSS classes.
func (s style) classes() string {
	var b strings.Builder
	for i := range len(attrClasses) {
		if s.attr&(1<<i) != 0 {
			b.WriteByte(' ')
			b.WriteByte(attrClasses[i])
		}
	}
	if s.fg > 0 {
		b.WriteString(" f" + strconv.Itoa(int(s.fg)-1))
	}
	if s.bg > 0 {
		b.WriteString(" b" + strconv.Itoa(int(s.bg)-1))
	}
	return strings.TrimPrefix(b.String(), " ")
}

// longestPiece bounds what is painted again and again while a line grows.
const longestPiece = 16 << 10

// longestEscape bounds a control sequence; a longer one is text.
const longestEscape = 64

// cut returns the length of the next piece of b: a line with its end, or a
// part of a line that is longer than longestPiece. 0 means that b holds only
// the beginning of a piece. The result depends on nothing behind the piece, so
// output is cut at the same places however it arrives.
func cut(b []byte) int {
	head := b[:min(len(b), longestPiece)]
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		return i + 1
	}
	if len(b) < longestPiece {
		return 0
	}
	if i := bytes.LastIndexByte(head, '\r'); i > 0 {
		return i
	}
	if i := bytes.LastIndexByte(head, 0x1b); i > len(head)-longestEscape {
		return i
	}
	return len(head) - partialRune(head)
}

// partialRune returns how many bytes at the end of b begin a rune that is not
// complete.
func partialRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// paint writes all whole pieces of b as HTML and returns how many bytes they
// are.
func (p *pen) paint(dst *bytes.Buffer, b []byte) int {
	done := 0
	for {
		n := cut(b[done:])
		if n == 0 {
			return done
		}
		p.piece(dst, b[done:done+n])
		done += n
	}
}

// end writes what remains behind the last whole piece. The pen stays as it is,
// so the same bytes can be painted again when more have come.
func (p pen) end(dst *bytes.Buffer, b []byte) {
	if i := bytes.LastIndexByte(b, 0x1b); i >= 0 && incomplete(b[i:]) {
		b = b[:i]
	}
	b = b[:len(b)-partialRune(b)]
	p.piece(dst, b)
}

// piece writes one piece.
func (p *pen) piece(dst *bytes.Buffer, b []byte) {
	line, ended := bytes.CutSuffix(b, []byte("\n"))
	if p.mid && len(line) > 0 && line[0] == '\r' {
		dst.WriteByte('\n') // the line so far is written and cannot be taken back
	}
	w := brush{dst: dst, pen: p, start: dst.Len()}
	w.line(bytes.TrimRight(line, "\r"))
	w.close()
	if ended {
		dst.WriteByte('\n')
	}
	p.mid = !ended && (len(b) > 0 || p.mid)
}

// skip moves the pen over b and writes nothing.
func (p *pen) skip(b []byte) {
	for {
		i := bytes.IndexByte(b, 0x1b)
		if i < 0 {
			return
		}
		b = b[i:]
		seq, n := sequence(b)
		p.style.apply(seq)
		b = b[max(n, 1):]
	}
}

// A brush paints one piece.
type brush struct {
	dst   *bytes.Buffer
	pen   *pen
	start int  // where the piece begins in dst
	open  bool // a span is open
	again bool // a carriage return came; the next text takes the line's place
}

func (w *brush) line(b []byte) {
	for len(b) > 0 {
		n := plain(b)
		if n > 0 {
			w.begin()
			w.dst.Write(b[:n])
			b = b[n:]
			continue
		}
		n = 1
		switch c := b[0]; {
		case c == 0x1b:
			n = w.escape(b)
		case c == '\r':
			w.again = true
		case c == '\b': // moves a cursor; the text stays
		case c < utf8.RuneSelf:
			w.begin()
			writeRune(w.dst, rune(c))
		default:
			var r rune
			r, n = utf8.DecodeRune(b)
			w.begin()
			writeRune(w.dst, r)
		}
		b = b[n:]
	}
}

// plain returns how many bytes at the beginning of b stand for themselves.
func plain(b []byte) int {
	for i, c := range b {
		switch {
		case c == '\t':
		case c < ' ' || c >= 0x7f, c == '<', c == '>', c == '&', c == '"', c == '\'':
			return i
		}
	}
	return len(b)
}

// begin makes ready for text.
func (w *brush) begin() {
	if w.again {
		w.dst.Truncate(w.start)
		w.again, w.open = false, false
	}
	if !w.open && w.pen.style != (style{}) {
		fmt.Fprintf(w.dst, `<span class="%s">`, w.pen.style.classes())
		w.open = true
	}
}

func (w *brush) close() {
	if w.open {
		w.dst.WriteString("</span>")
		w.open = false
	}
}

// escape handles the sequence at the beginning of b and returns its length.
func (w *brush) escape(b []byte) int {
	seq, n := sequence(b)
	if n == 0 {
		w.begin()
		writeRune(w.dst, 0x1b)
		return 1
	}
	params := string(seq[:len(seq)-1])
	switch final := seq[len(seq)-1]; {
	case final == 'm' && !strings.ContainsAny(params, "<=>?"):
		before := w.pen.style
		if w.pen.style.apply(seq); w.pen.style != before {
			w.close()
		}
	case final == 'K': // erase in line: acts when the line begins anew
		if w.again {
			w.dst.Truncate(w.start)
			w.open = false
		}
	case final == 'G' && (params == "" || params == "0" || params == "1"):
		w.again = true
	case (final == 'h' || final == 'l') && strings.HasPrefix(params, "?"): // cursor and the like
	default:
		w.begin()
		writeRune(w.dst, 0x1b)
		return 1
	}
	return n
}

// incomplete reports whether b may be the beginning of a control sequence.
func incomplete(b []byte) bool {
	return len(b) == 1 || b[1] == '[' && len(b) < longestEscape && len(bytes.TrimLeft(b[2:], "0123456789:;<=>?")) == 0
}

// sequence returns the parameters and the final byte of the control sequence
// (CSI) that b begins with, and its length; 0 when it begins with none or with
// an incomplete one.
func sequence(b []byte) ([]byte, int) {
	if len(b) < 3 || b[0] != 0x1b || b[1] != '[' {
		return nil, 0
	}
	for i := 2; i < len(b) && i < longestEscape; i++ {
		switch c := b[i]; {
		case c >= 0x40 && c <= 0x7e:
			return b[2 : i+1], i + 1
		case c < 0x30 || c > 0x3f:
			return nil, 0
		}
	}
	return nil, 0
}
