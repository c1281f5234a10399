package ldap

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	wire "github.com/go-ldap/ldap/v3"

	"github.com/rondo-ci/rondo/auth"
)

// bySubjectDN is the subject attribute that is none.
const bySubjectDN = "dn"

// attributes returns what is asked about people.
func (d *Directory) attributes() []string {
	s := d.s
	all := []string{s.UsernameField, s.People.Subject, s.People.Email, s.People.Name, "cn"}
	if s.Type == ActiveDirectory {
		all = append(all, "objectSid", "primaryGroupID", "userAccountControl", "accountExpires", "msDS-User-Account-Control-Computed")
	} else {
		all = append(all, "pwdAccountLockedTime", "pwdEndTime", "pwdStartTime", "nsAccountLock", "shadowExpire")
	}
	if s.Groups.Nested == MemberOf {
		all = append(all, "memberOf")
	}
	if s.uids() {
		all = append(all, "uid")
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(a string) bool { return a == bySubjectDN })
}

// uids reports whether groups list their members by uid (RFC 2307).
func (s Settings) uids() bool { return strings.EqualFold(s.GroupMembership, "memberUid") }

// people returns a filter of people for whom the condition holds.
func (d *Directory) people(condition string) string {
	class := fmt.Sprintf("(objectClass=%s)", d.s.People.ObjectClass)
	if d.s.Type == ActiveDirectory && strings.EqualFold(d.s.People.ObjectClass, "user") {
		class += "(objectCategory=person)" // computers are users too
	}
	return "(&" + class + condition + ")"
}

// loginFilter finds who logs in with the name. In Active Directory people also
// type DOMAIN\name and name@domain; neither character can be in a
// sAMAccountName.
func (d *Directory) loginFilter(login string) string {
	equal := func(attribute, value string) string {
		return fmt.Sprintf("(%s=%s)", attribute, wire.EscapeFilter(value))
	}
	if d.s.Type == ActiveDirectory && strings.EqualFold(d.s.UsernameField, "sAMAccountName") {
		if strings.Contains(login, "@") {
			return d.people(equal("userPrincipalName", login))
		}
		if _, name, found := strings.Cut(login, `\`); found {
			login = name
		}
	}
	return d.people(equal(d.s.UsernameField, login))
}

// find returns the one entry that has the login.
func (d *Directory) find(ctx context.Context, tr *tracer, login string) (*wire.Entry, error) {
	var found *wire.Entry
	err := d.search(ctx, tr, func(s searcher) error {
		q := question{base: d.s.UserSearchDN, scope: wire.ScopeWholeSubtree, filter: d.loginFilter(login), attrs: d.attributes(), most: 1}
		err := s.asked("user search", q, func(entries []*wire.Entry) (string, error) {
			switch len(entries) {
			case 0:
				return "", refuse("unknown", "nobody below %s has %s %.100q", d.s.UserSearchDN, d.s.UsernameField, login)
			case 1:
			default:
				return "", refuse("ambiguous", "more than one entry has %s %.100q, so that nobody is let in; set username_field to an attribute that is unique", d.s.UsernameField, login)
			}
			if !within(entries[0].DN, d.s.UserSearchDN) {
				return "", refuse("moved", "the server gave %s, which is not below user_search_dn", clip(entries[0].DN))
			}
			found = entries[0]
			return "found " + clip(found.DN), nil
		})
		return explain(err, "user_search_dn "+d.s.UserSearchDN)
	})
	return found, err
}

// findSubject returns the entry of the subject wherever it is below the base.
func (d *Directory) findSubject(ctx context.Context, subject string) (*wire.Entry, error) {
	gone := &Refusal{Reason: "unknown", Advice: fmt.Sprintf("the directory has nobody with %s %.200q any more", d.s.People.Subject, subject), lookup: true}
	q := question{base: d.s.BaseDN, scope: wire.ScopeWholeSubtree, attrs: d.attributes(), most: 1}
	switch {
	case subject == "":
		return nil, gone
	case d.s.People.Subject == bySubjectDN:
		if !within(subject, d.s.BaseDN) {
			return nil, gone
		}
		q.base, q.scope, q.filter = subject, wire.ScopeBaseObject, d.people("")
	case strings.EqualFold(d.s.People.Subject, "objectGUID"):
		id := bytesOf(subject)
		if id == nil {
			return nil, gone
		}
		q.filter = d.people("(objectGUID=" + hexed(id) + ")")
	default:
		q.filter = d.people(fmt.Sprintf("(%s=%s)", d.s.People.Subject, wire.EscapeFilter(subject)))
	}
	var found *wire.Entry
	err := d.search(ctx, nil, func(s searcher) error {
		entries, err := s.ask(q)
		switch {
		case wire.IsErrorWithCode(err, wire.LDAPResultNoSuchObject) && q.scope == wire.ScopeBaseObject:
			return gone
		case err != nil:
			return explain(err, "base_dn "+d.s.BaseDN)
		case len(entries) != 1:
			return gone
		}
		found = entries[0]
		return nil
	})
	return found, err
}

// identity maps the entry. Login is as the directory has it, however it was
// typed.
func (d *Directory) identity(e *wire.Entry, login string) (auth.Identity, error) {
	id := auth.Identity{
		Provider: d.Name(), Login: cmp.Or(text(e, d.s.UsernameField), login),
		Name: cmp.Or(text(e, d.s.People.Name), text(e, "cn")),
	}
	for _, m := range e.GetEqualFoldAttributeValues(d.s.People.Email) {
		if utf8.ValidString(m) && len(m) <= 320 && strings.Contains(m, "@") && len(id.Emails) < 20 {
			id.Emails = append(id.Emails, m)
		}
	}
	switch {
	case d.s.People.Subject == bySubjectDN:
		id.Subject = key(e.DN)
	case strings.EqualFold(d.s.People.Subject, "objectGUID"):
		id.Subject = guid(e.GetEqualFoldRawAttributeValue("objectGUID"))
	default:
		id.Subject = text(e, d.s.People.Subject)
	}
	if id.Subject == "" {
		return id, answer(fmt.Sprintf("%s has no %s that the search user may read; set subject_field to what never changes in this directory (ipaUniqueID in FreeIPA, nsUniqueId in 389), or to dn if there is nothing", clip(e.DN), d.s.People.Subject))
	}
	return id, nil
}

// text returns the first value, "" if it is no text of sensible length.
func text(e *wire.Entry, attribute string) string {
	v := e.GetEqualFoldAttributeValue(attribute)
	if len(v) > 1000 || !utf8.ValidString(v) {
		return ""
	}
	return v
}

// A prover binds as people and does nothing else.
type prover struct{ l *link }

// prove returns nil if the directory accepts the password, a [Refusal] if it
// does not, and any other error if it can't say.
func (d *Directory) prove(ctx context.Context, dn, password string) error {
	return d.use(ctx, d.provers, func(*link) error { return nil }, func(l *link) error {
		return prover{l}.bind(dn, password, d.s.Type == OpenLDAP)
	})
}

// bind is the only place where a person's password goes. Success is success
// with a policy that does not object, nothing else.
func (p prover) bind(dn, password string, policy bool) error {
	if dn == "" || password == "" {
		return refuse("password", "the password is empty") // would be an anonymous bind, with success
	}
	request := wire.NewSimpleBindRequest(dn, password, nil)
	if policy {
		request.Controls = []wire.Control{wire.NewControlBeheraPasswordPolicy()}
	}
	result, err := p.l.SimpleBind(request)
	if result != nil {
		for _, c := range result.Controls {
			if b, ok := c.(*wire.ControlBeheraPasswordPolicy); ok {
				if r, known := policies[b.Error]; known && !broken(err) {
					return &r
				}
			}
		}
	}
	if r := refusedBind(err); r != nil {
		return r
	}
	if err != nil {
		return fmt.Errorf("bind as %.200q: %w", dn, explain(err, "the entry"))
	}
	return nil
}

// pretend spends the time of a bind on somebody who does not exist, so that the
// answer takes as long as for those who do.
func (d *Directory) pretend(ctx context.Context, password string) error {
	err := d.prove(ctx, "cn=nobody-"+strings.ToLower(rand.Text())+","+d.s.UserSearchDN, password)
	var r *Refusal
	if errors.As(err, &r) {
		return nil
	}
	return err
}
