package authtest

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The matching rules of Active Directory that the fake knows.
const (
	ruleBitAnd = "1.2.840.113556.1.4.803"
	ruleChain  = "1.2.840.113556.1.4.1941"
)

// matches reports whether the filter (RFC 4511, 4.5.1.7) is true of the entry.
// What it does not know is never true, as with undefined in the standard.
func (d *Directory) matches(f element, e *entry) bool {
	switch f.tag {
	case 0xa0: // and
		for _, c := range f.in {
			if !d.matches(c, e) {
				return false
			}
		}
		return true
	case 0xa1: // or
		if f.any != nil {
			return slices.ContainsFunc(e.normals[strings.ToLower(f.at(0).text())], func(n string) bool { return f.any[n] })
		}
		for _, c := range f.in {
			if d.matches(c, e) {
				return true
			}
		}
		return false
	case 0xa2: // not
		return len(f.in) == 1 && !d.matches(f.in[0], e)
	case 0xa3: // equal
		return d.equal(e, f.at(0).text(), f.at(1).text())
	case 0xa4: // substrings
		return anyValue(e, f.at(0).text(), func(v string) bool { return substrings(v, f.at(1).in) })
	case 0xa5, 0xa6: // greater or equal, less or equal
		return anyValue(e, f.at(0).text(), func(v string) bool {
			return v == f.at(1).text() || less(f.at(1).text(), v) == (f.tag == 0xa5)
		})
	case 0x87: // present
		return strings.EqualFold(f.text(), "objectClass") || len(e.get(f.text())) > 0
	case 0xa9:
		return d.extended(f, e)
	}
	return false
}

// prepared returns the filter with the names of entries in it in one spelling,
// so that they are parsed once and not for every entry.
func prepared(f element) element {
	switch f.tag {
	case 0xa0, 0xa1, 0xa2:
		in := make([]element, len(f.in))
		for i, c := range f.in {
			in[i] = prepared(c)
		}
		return collapsed(sequence(f.tag, in...))
	case 0xa3:
		if isDNAttribute(f.at(0).text()) {
			return sequence(f.tag, f.at(0), octets(normal(f.at(1).text())))
		}
	}
	return f
}

// collapsed makes one look-up of an "or" in which every part compares the same
// attribute with the name of an entry.
func collapsed(f element) element {
	if f.tag != 0xa1 || len(f.in) < 2 {
		return f
	}
	attribute := f.in[0].at(0)
	names := map[string]bool{}
	for _, c := range f.in {
		if c.tag != 0xa3 || c.at(0).text() != attribute.text() || !isDNAttribute(attribute.text()) {
			return f
		}
		names[c.at(1).text()] = true
	}
	return element{tag: f.tag, in: []element{attribute}, any: names}
}

// equal compares names of entries as such, text without regard to case, and
// bytes as they are.
func (d *Directory) equal(e *entry, attribute, want string) bool {
	if isDNAttribute(attribute) {
		return slices.Contains(e.normals[strings.ToLower(attribute)], want)
	}
	return anyValue(e, attribute, func(v string) bool {
		if !utf8.ValidString(v) || !utf8.ValidString(want) {
			return v == want
		}
		return strings.EqualFold(v, want)
	})
}

func anyValue(e *entry, attribute string, holds func(string) bool) bool {
	for _, v := range e.get(attribute) {
		if holds(v) {
			return true
		}
	}
	return false
}

func less(a, b string) bool {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX == nil && errY == nil {
		return x < y
	}
	return a < b
}

func substrings(value string, parts []element) bool {
	value = strings.ToLower(value)
	for _, p := range parts {
		want := strings.ToLower(p.text())
		switch p.tag {
		case 0x80: // initial
			if !strings.HasPrefix(value, want) {
				return false
			}
			value = value[len(want):]
		case 0x81: // any
			i := strings.Index(value, want)
			if i < 0 {
				return false
			}
			value = value[i+len(want):]
		case 0x82: // final
			if !strings.HasSuffix(value, want) {
				return false
			}
		}
	}
	return true
}

// extended matches by a rule. OpenLDAP does not know those of Active
// Directory.
func (d *Directory) extended(f element, e *entry) bool {
	var rule, attribute, value string
	for _, p := range f.in {
		switch p.tag {
		case 0x81:
			rule = p.text()
		case 0x82:
			attribute = p.text()
		case 0x83:
			value = p.text()
		}
	}
	if d.persona != ActiveDirectory {
		return false
	}
	switch rule {
	case ruleBitAnd:
		mask, err := strconv.ParseInt(value, 10, 64)
		return err == nil && anyValue(e, attribute, func(v string) bool {
			n, err := strconv.ParseInt(v, 10, 64)
			return err == nil && n&mask == mask
		})
	case ruleChain:
		return d.reaches(e, attribute, normal(value), map[string]bool{})
	}
	return false
}

// reaches reports whether the attribute leads from the entry to the name, over
// any number of entries.
func (d *Directory) reaches(e *entry, attribute, want string, seen map[string]bool) bool {
	for _, n := range e.normals[strings.ToLower(attribute)] {
		if n == want {
			return true
		}
		if next := d.entries[n]; next != nil && !seen[n] {
			seen[n] = true
			if d.reaches(next, attribute, want, seen) {
				return true
			}
		}
	}
	return false
}
