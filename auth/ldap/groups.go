package ldap

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	wire "github.com/go-ldap/ldap/v3"

	"github.com/rondo-ci/rondo/auth"
)

// chainRule finds members of members, however deep (MS-ADTS, 3.1.1.3.4.4.3).
const chainRule = "1.2.840.113556.1.4.1941"

const (
	maxGroups = 10_000 // of one person
	maxOr     = 200    // groups that one request asks about
)

// groups are a person's, from the key of the DN to the name.
type groups map[string]string

// groups returns all groups of the person, and since when that was so at
// least; zero is now.
func (s searcher) groups(p *wire.Entry) (all groups, since time.Time, err error) {
	set := s.d.s.Groups
	all = groups{}
	switch {
	case set.Nested == MemberOf:
		for _, dn := range p.GetEqualFoldAttributeValues("memberOf") {
			if within(dn, set.SearchDN) && len(all) < maxGroups {
				all[key(dn)] = firstRDN(dn)
			}
		}
	case s.d.s.uids():
		_, err = s.level(all, "groups", membership(s.d.s.GroupMembership, text(p, "uid")))
	case set.Nested == Chain && s.l.active:
		if err = s.chain(all, p); wire.IsErrorAnyOf(err, wire.LDAPResultTimeLimitExceeded, wire.LDAPResultAdminLimitExceeded,
			wire.LDAPResultUnavailableCriticalExtension, wire.LDAPResultUnwillingToPerform, wire.LDAPResultInappropriateMatching) {
			s.d.log.Warn("the directory does not follow nested groups itself; they are asked for level by level", "error", err)
			all = groups{}
			since, err = s.expand(all, p)
		}
	default:
		// Chain at a server that is no Active Directory would be an empty list
		// without a word: OpenLDAP ignores what it does not know in a filter.
		since, err = s.expand(all, p)
	}
	return all, since, explain(err, "group_search_dn "+set.SearchDN)
}

// membership is the filter of groups that list the member.
func membership(attribute, member string) string {
	return fmt.Sprintf("(%s=%s)", attribute, wire.EscapeFilter(member))
}

// chain has the directory follow the groups. The primary group of a person is
// in no list of members: it is found by its SID, and followed in its turn.
func (s searcher) chain(all groups, p *wire.Entry) error {
	follow := func(dn string) string { return membership(s.d.s.GroupMembership+":"+chainRule+":", dn) }
	sid := primaryGroup(p)
	condition := follow(p.DN)
	if sid != nil {
		condition = "(|" + condition + "(objectSid=" + hexed(sid) + "))"
	}
	found, err := s.level(all, "groups", condition)
	if err != nil {
		return err
	}
	for _, g := range found {
		if sid != nil && string(g.GetEqualFoldRawAttributeValue("objectSid")) == string(sid) {
			_, err = s.level(all, "groups of the primary group", follow(g.DN))
		}
	}
	return err
}

// expand asks for the groups of all that was found so far, one request a level,
// until nothing is new: a cycle ends by itself. If what is above the person's
// own groups is remembered, it asks for those only.
func (s searcher) expand(all groups, p *wire.Entry) (since time.Time, err error) {
	set := s.d.s.Groups
	conditions := []string{membership(s.d.s.GroupMembership, p.DN)}
	if sid := primaryGroup(p); sid != nil {
		conditions = append(conditions, "(objectSid="+hexed(sid)+")")
	}
	for depth := 1; len(conditions) > 0; depth++ {
		if depth > set.Depth {
			s.d.log.Warn("groups are nested deeper than group_depth; what is above is not seen", "person", p.DN, "depth", set.Depth)
			return since, nil
		}
		var fresh []*wire.Entry
		for some := range slices.Chunk(conditions, maxOr) {
			condition := some[0]
			if len(some) > 1 {
				condition = "(|" + strings.Join(some, "") + ")"
			}
			found, err := s.level(all, fmt.Sprintf("groups, level %d", depth), condition)
			if err != nil {
				return since, err
			}
			fresh = append(fresh, found...)
		}
		if set.Nested == Off {
			return since, nil
		}
		if s.remembers && depth == 1 {
			if since, ok := s.d.graph.climb(all, fresh, set.Depth); ok {
				return since, nil
			}
		}
		conditions = nil
		for _, g := range fresh {
			conditions = append(conditions, membership(s.d.s.GroupMembership, g.DN))
		}
	}
	return since, nil
}

// level adds the groups for which the condition holds and returns the new ones.
func (s searcher) level(all groups, step, condition string) (found []*wire.Entry, err error) {
	q := question{
		base: s.d.s.Groups.SearchDN, scope: wire.ScopeWholeSubtree, attrs: []string{"cn"}, most: maxGroups - len(all),
		filter: fmt.Sprintf("(&(objectClass=%s)%s)", s.d.s.GroupObjectClass, condition),
	}
	if s.d.s.Type == ActiveDirectory {
		q.attrs = append(q.attrs, "objectSid")
	}
	q.most = max(q.most, pageSize)
	err = s.asked(step, q, func(entries []*wire.Entry) (string, error) {
		if len(all)+len(entries) > maxGroups {
			return "", answer(fmt.Sprintf("the person is in more than %d groups; narrow group_search_dn", maxGroups))
		}
		for _, e := range entries {
			k := key(e.DN)
			if _, seen := all[k]; !seen {
				all[k] = nameOf(e)
				found = append(found, e)
			}
		}
		return fmt.Sprintf("%d found, %d new", len(entries), len(found)), nil
	})
	return found, err
}

func nameOf(e *wire.Entry) string {
	if cn := text(e, "cn"); cn != "" {
		return cn
	}
	return firstRDN(e.DN)
}

// firstRDN is what an entry is called where it stands.
func firstRDN(dn string) string {
	parsed, err := wire.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) == 0 {
		return dn
	}
	return parsed.RDNs[0].Attributes[0].Value
}

// primaryGroup returns the SID of the group that Active Directory keeps apart:
// the SID of the person with another last part (MS-DTYP, 2.4.2.2).
func primaryGroup(p *wire.Entry) []byte {
	rid, err := strconv.ParseUint(p.GetEqualFoldAttributeValue("primaryGroupID"), 10, 32)
	sid := slices.Clone(p.GetEqualFoldRawAttributeValue("objectSid"))
	if err != nil || len(sid) < 12 || len(sid) != 8+4*int(sid[1]) {
		return nil
	}
	binary.LittleEndian.PutUint32(sid[len(sid)-4:], uint32(rid))
	return sid
}

// names returns the names of the groups in order.
func (g groups) names() []string { return slices.Compact(slices.Sorted(maps.Values(g))) }

// has reports whether the person is in the group, by its name or its DN.
func (g groups) has(group string) bool {
	if strings.Contains(group, "=") {
		_, in := g[key(group)]
		return in
	}
	for _, n := range g {
		if strings.EqualFold(n, group) {
			return true
		}
	}
	return false
}

// role returns the first role that a group gives.
func (g groups) role(roles []RoleOf) auth.Role {
	for _, r := range roles {
		if g.has(r.Group) {
			return r.Role
		}
	}
	return auth.RoleNone
}
