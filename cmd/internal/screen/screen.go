// Package screen makes text that came from elsewhere (names in a
// configuration, commit subjects, the output of jobs) fit for a terminal. It
// never drops anything in silence: what must not act is shown.
package screen

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text returns one line of text in which no character acts on a terminal.
func Text(s string) string { return clean(s, false) }

// Output is Text for a line that a job printed: tabs and the sequences that
// set colours (SGR) stay, and the colours end with the line. Of a line that was
// printed over itself, as progress bars are, the last state is shown.
func Output(s string) string {
	s = strings.TrimRight(s, "\r")
	t := clean(s[strings.LastIndexByte(s, '\r')+1:], true)
	if strings.Contains(t, "\x1b[") {
		t += "\x1b[0m"
	}
	return t
}

func clean(s string, output bool) string {
	if !strings.ContainsFunc(s, acts) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if output {
			if n := sgr(s[i:]); n > 0 {
				b.WriteString(s[i : i+n])
				i += n
				continue
			}
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i]) // may be an 8-bit control
		case r == '\t' && output, !acts(r):
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteString("^" + string(r^'@'))
		default:
			fmt.Fprintf(&b, "U+%04X", r)
		}
		i += n
	}
	return b.String()
}

// acts reports whether a character moves the cursor, begins a sequence, turns
// the direction of text, or is nothing to see.
func acts(r rune) bool {
	return r < ' ' || r >= 0x7f && r <= 0x9f || r == 0x061c || r == 0x200b || r == 0x200e || r == 0x200f ||
		r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0xfeff ||
		r >= 0xfff9 && r <= 0xfffb || r >= 0xe0000 && r <= 0xe007f
}

// sgr returns the length of the colour sequence that s begins with, or 0.
func sgr(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for i := 2; i < len(s) && i < 64; i++ {
		switch c := s[i]; {
		case c == 'm':
			return i + 1
		case (c < '0' || c > '9') && c != ';' && c != ':':
			return 0
		}
	}
	return 0
}

// Plain is Output without the colours.
func Plain(s string) string {
	var b strings.Builder
	s = strings.TrimRight(s, "\r")
	for s = s[strings.LastIndexByte(s, '\r')+1:]; s != ""; {
		if n := sgr(s); n > 0 {
			s = s[n:]
			continue
		}
		_, n := utf8.DecodeRuneInString(s)
		b.WriteString(s[:n])
		s = s[n:]
	}
	return Text(b.String())
}
