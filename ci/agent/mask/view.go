package mask

import "bytes"

// A view is a text as a terminal shows it: without escape sequences, so that a
// secret is found even if its letters are colored one by one.
type view struct {
	raw  []byte
	text []byte // what is visible; raw itself if that is all
	pos  []int  // where in raw each byte of text is; nil if text is raw
	open int    // where in raw an unfinished sequence begins; len(raw) if none does
}

const escape = 0x1b

// longSequence is how many bytes a sequence may have; what is longer is none.
const longSequence = 256

// plainView returns the view of a text that shows all of it.
func plainView(raw []byte) view { return view{raw: raw, text: raw, open: len(raw)} }

// newView returns the view of a text. It keeps the text.
func newView(raw []byte) view {
	next := bytes.IndexByte(raw, escape)
	if next < 0 {
		return plainView(raw)
	}
	v := view{raw: raw, text: make([]byte, 0, len(raw)), pos: make([]int, 0, len(raw)), open: len(raw)}
	for i := 0; i < len(raw); {
		if raw[i] == escape {
			n, done := sequence(raw[i:])
			if !done {
				v.open = i
				break
			}
			if n > 0 {
				i += n
				continue
			}
		}
		v.text = append(v.text, raw[i])
		v.pos = append(v.pos, i)
		i++
	}
	return v
}

// sequence returns the length of the escape sequence that b begins with, 0 if
// it is none. Done is false if b ends before the sequence does.
func sequence(b []byte) (n int, done bool) {
	if len(b) < 2 {
		return 0, false
	}
	i := 2
	switch c := b[1]; {
	case c == '[': // parameters, then a letter
		for i < len(b) && b[i] >= 0x20 && b[i] <= 0x3f {
			i++
		}
		if i < len(b) && i < longSequence {
			if b[i] < 0x40 || b[i] > 0x7e {
				return 0, true
			}
			return i + 1, true
		}
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
	switch {
	case k >= len(v.text):
		return v.open
	case v.pos == nil:
		return k
	}
	return v.pos[k]
}

// behind returns where in raw the text up to k, k not counted, ends.
func (v *view) behind(k int) int {
	if k == 0 {
		return 0
	}
	return v.at(k-1) + 1
}

// hidden returns the sequences between the bytes of text[i:end].
func (v *view) hidden(i, end int) []byte {
	var all []byte
	for k := i; v.pos != nil && k+1 < end; k++ {
		all = append(all, v.raw[v.pos[k]+1:v.pos[k+1]]...)
	}
	return all
}
