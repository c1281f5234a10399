package web

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// apply changes the style as an SGR sequence says; seq is its parameters and
// final byte. Other sequences change nothing.
func (s *style) apply(seq []byte) {
	params, isSGR := bytes.CutSuffix(seq, []byte("m"))
	if !isSGR || bytes.ContainsAny(params, "<=>?") {
		return
	}
	for codes := strings.Split(string(params), ";"); len(codes) > 0; {
		codes = s.code(codes)
	}
}

// code applies the first code and returns those that follow.
func (s *style) code(codes []string) []string {
	first, rest := codes[0], codes[1:]
	if sub := strings.Split(first, ":"); len(sub) > 1 {
		s.colon(sub)
		return rest
	}
	n := number(first)
	switch {
	case n == 38 || n == 48:
		c, rest := color(rest)
		s.set(n, c)
		return rest
	case n >= 30 && n <= 37:
		s.fg = uint16(n-30) + 1
	case n >= 40 && n <= 47:
		s.bg = uint16(n-40) + 1
	case n >= 90 && n <= 97:
		s.fg = uint16(n-90+8) + 1
	case n >= 100 && n <= 107:
		s.bg = uint16(n-100+8) + 1
	case n == 39:
		s.fg = 0
	case n == 49:
		s.bg = 0
	default:
		s.attribute(n)
	}
	return rest
}

// attribute applies a code that is not about colour.
func (s *style) attribute(n int) {
	switch n {
	case 0:
		*s = style{}
	case 1:
		s.attr |= bold
	case 2:
		s.attr |= faint
	case 3:
		s.attr |= italic
	case 4, 21:
		s.attr |= underline
	case 7:
		s.attr |= inverse
	case 9:
		s.attr |= strike
	case 22:
		s.attr &^= bold | faint
	case 23:
		s.attr &^= italic
	case 24:
		s.attr &^= underline
	case 27:
		s.attr &^= inverse
	case 29:
		s.attr &^= strike
	}
}

// colon applies a code whose parts are parted by colons: 38:5:n, 38:2::r:g:b,
// 38:2:r:g:b or 4:n.
func (s *style) colon(sub []string) {
	switch n := number(sub[0]); n {
	case 4:
		s.attr |= underline
		if number(sub[1]) == 0 {
			s.attr &^= underline
		}
	case 38, 48:
		if number(sub[1]) == 2 && len(sub) >= 6 {
			sub = append([]string{sub[0], sub[1]}, sub[3:]...) // without the colour space
		}
		c, _ := color(sub[1:])
		s.set(n, c)
	}
}

// set sets the foreground (38) or the background (48); 0 is no colour.
func (s *style) set(which int, c uint16) {
	switch {
	case c == 0:
	case which == 38:
		s.fg = c
	default:
		s.bg = c
	}
}

// color reads the arguments of 38 and 48, and returns the colour (0 if there
// is none) and the codes that follow.
func color(codes []string) (uint16, []string) {
	switch {
	case len(codes) >= 2 && number(codes[0]) == 5:
		if n := number(codes[1]); n >= 0 && n <= 255 {
			return uint16(n) + 1, codes[2:]
		}
		return 0, codes[2:]
	case len(codes) >= 4 && number(codes[0]) == 2:
		return nearest(number(codes[1]), number(codes[2]), number(codes[3])), codes[4:]
	}
	return 0, nil
}

// nearest returns the colour of the palette's cube that comes closest.
func nearest(r, g, b int) uint16 {
	level := func(v int) int {
		switch {
		case v < 48:
			return 0
		case v < 115:
			return 1
		}
		return (min(v, 255) - 35) / 40
	}
	return uint16(16+36*level(r)+6*level(g)+level(b)) + 1
}

// number returns the value of a code; "" is 0 and nonsense is -1.
func number(s string) int {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// palette returns the CSS rules of the colours from 16 on. The first 16 belong
// to the theme and stand in the style sheet.
func palette() string {
	var b strings.Builder
	rule := func(n, r, g, bl int) {
		fmt.Fprintf(&b, ".f%d{color:#%02x%02x%02x}.b%d{background:#%02x%02x%02x}\n", n, r, g, bl, n, r, g, bl)
	}
	level := func(i int) int {
		if i == 0 {
			return 0
		}
		return 55 + 40*i
	}
	for n := range 216 {
		rule(16+n, level(n/36), level(n/6%6), level(n%6))
	}
	for n := range 24 {
		rule(232+n, 8+10*n, 8+10*n, 8+10*n)
	}
	return b.String()
}
