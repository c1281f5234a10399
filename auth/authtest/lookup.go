package authtest

import (
	"slices"
	"strconv"
	"strings"
)

// pageMax is the most entries of one page, as in Active Directory.
const pageMax = 1000

// search answers a search. Only the search user sees anything; an OpenLDAP with
// such rules says that there is nothing, an Active Directory that nobody is
// bound.
func (s *session) search(id int64, op, controls element, f Fault) bool {
	if unknownCritical(controls) {
		return s.result(id, opSearch, 12, "", "")
	}
	base, scope := normal(op.at(0).text()), op.at(1).number()
	if op.at(0).text() == "" && scope == 0 {
		return s.entry(id, s.d.root(), op.at(7), 0) && s.result(id, opSearch, 0, "", "")
	}
	if s.who != normal(SearchUser) {
		if s.d.persona == ActiveDirectory {
			return s.result(id, opSearch, 1, "", "000004DC: LdapErr: DSID-0C090CF4, comment: In order to perform this operation a successful bind must be completed on the connection., data 0, v4563\x00")
		}
		return s.result(id, opSearch, 32, "", "")
	}
	found, matched := s.d.find(base, scope, op.at(6))
	if matched != "" || found == nil {
		return s.result(id, opSearch, 32, matched, "")
	}
	limit := int(op.at(3).number())
	if f.SizeLimit > 0 && (limit == 0 || f.SizeLimit < limit) {
		limit = f.SizeLimit
	}
	return s.page(id, op, controls, f, found, limit)
}

// find returns copies of the entries, or the part of the base that exists.
func (d *Directory) find(base string, scope int64, filter element) (found []*entry, matched string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.entries[base] == nil {
		for base != "" {
			if _, base, _ = strings.Cut(base, ","); d.entries[base] != nil {
				break
			}
		}
		return nil, base
	}
	found = []*entry{}
	filter = prepared(filter)
	for _, n := range d.order {
		e := d.entries[n]
		in := below(n, base)
		switch scope {
		case 0:
			in = n == base
		case 1:
			_, parent, _ := strings.Cut(n, ",")
			in = parent == base
		}
		if e != nil && in && d.matches(filter, e) {
			copied := *e
			copied.attrs = make(map[string][]string, len(e.attrs))
			for k, v := range e.attrs {
				copied.attrs[k] = slices.Clone(v)
			}
			found = append(found, &copied)
		}
	}
	return found, ""
}

// page sends what belongs to one page and the way to the next one.
func (s *session) page(id int64, op, controls element, f Fault, found []*entry, limit int) bool {
	start, size := 0, len(found)
	value, paged := control(controls, oidPaged)
	if paged {
		asked, err := parseAll(value.data, 1)
		if err != nil || len(asked) != 1 {
			return s.result(id, opSearch, 2, "", "the paging control is malformed")
		}
		size = min(max(1, int(asked[0].at(0).number())), pageMax)
		start, _ = strconv.Atoi(asked[0].at(1).text())
		if start < 0 || start > len(found) {
			start = len(found)
		}
	}
	end := min(start+size, len(found))
	tooMany := limit > 0 && end-start > limit
	if tooMany {
		end = start + limit
	}
	for _, e := range found[start:end] {
		if !s.entry(id, e, op.at(7), f.Padding) {
			return false
		}
	}
	for f.Endless {
		if !s.entry(id, found[0], op.at(7), 1<<16) {
			return false
		}
	}
	if f.Referral != "" && !s.send(id, sequence(0x73, octets(f.Referral))) {
		return false
	}
	if tooMany {
		return s.result(id, opSearch, 4, "", "")
	}
	if !paged {
		return s.result(id, opSearch, 0, "", "")
	}
	cookie := ""
	if end < len(found) {
		cookie = strconv.Itoa(end)
	}
	next := sequence(tagSequence, integer(tagInteger, int64(len(found))), octets(cookie)).bytes()
	return s.result(id, opSearch, 0, "", "", sequence(tagSequence, octets(oidPaged), octets(string(next))))
}

// entry sends the attributes that were asked for.
func (s *session) entry(id int64, e *entry, asked element, padding int) bool {
	want := func(name string) bool {
		plain := len(asked.in) == 0
		for _, a := range asked.in {
			if strings.EqualFold(a.text(), name) || a.text() == "+" {
				return true
			}
			plain = plain || a.text() == "*"
		}
		return plain && !operational(name)
	}
	attrs := sequence(tagSequence)
	for k, values := range e.attrs {
		if !want(k) {
			continue
		}
		set := sequence(tagSet)
		for _, v := range values {
			set.in = append(set.in, octets(v))
		}
		attrs.in = append(attrs.in, sequence(tagSequence, octets(e.names[k]), set))
	}
	if padding > 0 {
		attrs.in = append(attrs.in, sequence(tagSequence, octets("description"), sequence(tagSet, octets(strings.Repeat("x", padding)))))
	}
	return s.send(id, sequence(0x64, octets(e.dn), attrs))
}

// root is what the server says of itself.
func (d *Directory) root() *entry {
	attributes := map[string][]string{
		"objectClass": {"top"}, "namingContexts": {Base}, "supportedLDAPVersion": {"3"},
		"supportedControl": {oidPaged, oidPolicy}, "supportedExtension": {oidStartTLS, oidWhoAmI},
	}
	if d.persona == ActiveDirectory {
		attributes["supportedCapabilities"] = []string{"1.2.840.113556.1.4.800", "1.2.840.113556.1.4.1670"}
		attributes["defaultNamingContext"] = []string{Base}
	}
	return newEntry("", attributes)
}
