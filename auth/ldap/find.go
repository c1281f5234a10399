package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	wire "github.com/go-ldap/ldap/v3"

	"github.com/rondo-ci/rondo/auth"
)

var _ auth.Finder = (*Directory)(nil)

// Find returns the people below user_search_dn who have one of the addresses or
// logins, without their groups, in requests of [maxOr] conditions each.
// Whether they may log in is not asked. Entries without what identifies them
// are left out.
func (d *Directory) Find(ctx context.Context, emails, logins []string) ([]auth.Identity, error) {
	var conditions []string
	for _, e := range emails {
		if e != "" && len(e) <= 320 {
			conditions = append(conditions, fmt.Sprintf("(%s=%s)", d.s.People.Email, wire.EscapeFilter(e)))
		}
	}
	for _, typed := range logins {
		if login, ok := cleanLogin(typed); ok {
			conditions = append(conditions, fmt.Sprintf("(%s=%s)", d.s.UsernameField, wire.EscapeFilter(login)))
		}
	}
	slices.Sort(conditions)
	var all []auth.Identity
	seen := map[string]bool{}
	for some := range slices.Chunk(slices.Compact(conditions), maxOr) {
		ctx, cancel := context.WithTimeout(ctx, d.patience())
		found, err := d.findSome(ctx, "(|"+strings.Join(some, "")+")")
		cancel()
		if err != nil {
			return nil, fmt.Errorf("ldap find: %w", err)
		}
		for _, id := range found {
			if !seen[id.Subject] {
				all, seen[id.Subject] = append(all, id), true
			}
		}
	}
	return all, nil
}

func (d *Directory) findSome(ctx context.Context, condition string) (found []auth.Identity, err error) {
	q := question{base: d.s.UserSearchDN, scope: wire.ScopeWholeSubtree, filter: d.people(condition), attrs: d.attributes(), most: 10 * maxOr}
	err = d.search(ctx, nil, func(s searcher) error {
		entries, err := s.ask(q)
		if err != nil {
			return explain(err, "user_search_dn "+d.s.UserSearchDN)
		}
		for _, e := range entries {
			if id, err := d.identity(e, ""); err == nil && id.Login != "" && within(e.DN, d.s.UserSearchDN) {
				found = append(found, id)
			}
		}
		return nil
	})
	return found, err
}
