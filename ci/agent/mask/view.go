package mask

import "sort"

// A view is a text as a terminal shows it: without escape sequences, control
// characters and what has no width, so that a secret is found even if its
// letters are colored one by one.
type view struct {
	raw  []byte
	text []byte // what is visible; raw itself if that is all
	gaps []gap  // in order
	open int    // where in raw an unfinished sequence begins; len(raw) if none does
}

// A gap is what does not show, before the byte at of the text.
type gap struct {
	at   int
	size int // of what does not show here
	sum  int // of all sizes up to here
}

const escape = 0x1b

// longSequence is how many bytes a sequence may have; what is longer is none.
const longSequence = 256

// plain makes it the view of a text that shows all of it.
func (v *view) plain(raw []byte) { *v = view{raw: raw, text: raw, gaps: v.gaps[:0], open: len(raw)} }

// look makes it the view of a text. It keeps the text, and puts what is visible
// into buf if that is not all. It returns buf for the next time.
func (v *view) look(raw, buf []byte) []byte {
	v.plain(raw)
	from := 0
	text := buf[:0]
	for i := 0; ; {
		for i < len(raw) && !special[raw[i]] {
			i++
		}
		if i == len(raw) {
			break
		}
		n, done := hidden(raw[i:])
		if !done {
			v.open = i
			break
		}
		if n == 0 {
			i++
			continue
		}
		text = append(text, raw[from:i]...)
		i += n
		from = i
		v.hide(len(text), n)
	}
	if len(v.gaps) > 0 {
		text = append(text, raw[from:v.open]...)
		v.text = text
	} else {
		v.text = raw[:v.open]
	}
	return text
}

// hide takes note of a gap.
func (v *view) hide(at, n int) {
	if last := len(v.gaps) - 1; last < 0 {
		v.gaps = append(v.gaps, gap{at, n, n})
	} else if g := &v.gaps[last]; g.at == at {
		g.size, g.sum = g.size+n, g.sum+n
	} else {
		v.gaps = append(v.gaps, gap{at, n, g.sum + n})
	}
}

// special are the bytes that what does not show begins with.
var special = func() (s [256]bool) {
	for c := range 0x20 {
		s[c] = c != '\t' && c != '\n' && c != '\r'
	}
	s[0x7f], s[0xc2], s[0xe2], s[0xef] = true, true, true, true
	return s
}()

// concealing reports whether part of the text may not show.
func concealing(b []byte) bool {
	for _, c := range b {
		if special[c] {
			return true
		}
	}
	return false
}

// hidden returns how many of the first bytes do not show. Done is false if
// more bytes could make it more.
func hidden(b []byte) (n int, done bool) {
	switch c := b[0]; {
	case c == escape:
		return sequence(b)
	case c < 0x20 || c == 0x7f:
		return 1, true
	case len(b) == 1:
		return 0, false
	case c == 0xc2 && b[1] == 0x9b: // as ESC [, in one character
		return parameters(b)
	case c == 0xc2 && b[1] == 0xad: // a soft hyphen
		return 2, true
	case c == 0xe2 && (b[1] == 0x80 || b[1] == 0x81) || c == 0xef && b[1] == 0xbb:
		if len(b) == 2 {
			return 0, false
		}
		r := uint32(c)<<16 | uint32(b[1])<<8 | uint32(b[2])
		if r >= 0xe2808b && r <= 0xe2808f || r >= 0xe280aa && r <= 0xe280ae || r >= 0xe281a0 && r <= 0xe281a4 || r == 0xefbbbf {
			return 3, true // no width, or only the direction of what follows
		}
	}
	return 0, true
}

// parameters returns the length of a sequence of two bytes, parameters, and a
// letter.
func parameters(b []byte) (n int, done bool) {
	i := 2
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x3f {
		i++
	}
	switch {
	case i >= longSequence:
		return 0, true
	case i == len(b):
		return 0, false
	case b[i] < 0x40 || b[i] > 0x7e:
		return 0, true
	}
	return i + 1, true
}

// sequence returns the length of the escape sequence that b begins with, 0 if
// it is none. Done is false if b ends before the sequence does.
func sequence(b []byte) (n int, done bool) {
	if len(b) < 2 {
		return 0, false
	}
	i := 2
	switch c := b[1]; {
	case c == '[':
		return parameters(b)
	case c == ']': // up to BEL or ESC \
		for ; i < len(b) && i < longSequence; i++ {
			if b[i] == 0x07 {
				return i + 1, true
			}
			if b[i] == escape {
				if i+1 == len(b) {
					return 0, false
				}
				if b[i+1] == '\\' {
					return i + 2, true
				}
				return 0, true
			}
		}
	case c >= 0x20 && c <= 0x2f: // a character set: one more
		i = 3
		if len(b) >= 3 {
			return 3, true
		}
	case c >= 0x30 && c <= 0x7e:
		return 2, true
	default:
		return 0, true
	}
	return 0, i >= longSequence
}

// at returns where in raw the byte k of the text is.
func (v *view) at(k int) int {
	if k >= len(v.text) {
		return v.open
	}
	i := sort.Search(len(v.gaps), func(i int) bool { return v.gaps[i].at > k })
	if i == 0 {
		return k
	}
	return k + v.gaps[i-1].sum
}

// behind returns where in raw the text up to k, k not counted, ends.
func (v *view) behind(k int) int {
	if k == 0 {
		return 0
	}
	return v.at(k-1) + 1
}

// hidden appends what does not show between the bytes of text[i:end].
func (v *view) hidden(b []byte, i, end int) []byte {
	first := sort.Search(len(v.gaps), func(k int) bool { return v.gaps[k].at > i })
	for _, g := range v.gaps[first:] {
		if g.at >= end {
			break
		}
		stop := g.at + g.sum
		b = append(b, v.raw[stop-g.size:stop]...)
	}
	return b
}
