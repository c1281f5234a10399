package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	wire "github.com/go-ldap/ldap/v3"
)

// pageSize is how many entries are asked for at once: what servers allow by
// default (OpenLDAP 500, Active Directory 1000).
const pageSize = 500

// adCapability is what a domain controller lists in its rootDSE (MS-ADTS,
// 3.1.1.3.4.3.1).
const adCapability = "1.2.840.113556.1.4.800"

// A searcher asks as the search user. It has no bind, so that nobody's password
// changes who asks.
type searcher struct {
	d  *Directory
	l  *link
	tr *tracer
	// remembers lets it use what is remembered of groups within groups.
	remembers bool
}

// search runs f with a connection of the search user; under a trace with a new
// one, whose making is part of the trace.
func (d *Directory) search(ctx context.Context, tr *tracer, f func(searcher) error) error {
	if tr == nil {
		return d.use(ctx, d.searchers, func(l *link) error { return d.enter(nil, l) }, func(l *link) error {
			return f(searcher{d: d, l: l})
		})
	}
	if tr.link == nil {
		l, err := d.connect(ctx, tr, func(l *link) error { return d.enter(tr, l) })
		if err != nil {
			return err
		}
		tr.link = l
	}
	defer tr.link.during(ctx)()
	return f(searcher{d: d, l: tr.link, tr: tr})
}

// enter binds as the search user and asks what kind of server this is.
func (d *Directory) enter(tr *tracer, l *link) error {
	s := searcher{d: d, l: l, tr: tr}
	command := s.command("", "base", "(objectClass=*)", []string{"supportedCapabilities", "vendorName"})
	err := tr.step("search bind", "a bind as search_user "+d.s.SearchUser, command, func() (string, error) {
		if err := l.Bind(d.s.SearchUser, d.s.SearchPassword); err != nil {
			return "", fmt.Errorf("search bind at %s: %w", l.server, explain(err, "search_user"))
		}
		return "the search user is in", nil
	})
	if err != nil {
		return err
	}
	return tr.step("server", "what kind of server it is", command, func() (string, error) {
		r, err := l.Search(&wire.SearchRequest{Scope: wire.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{"supportedCapabilities", "vendorName"}})
		if err != nil || len(r.Entries) != 1 {
			if broken(err) {
				return "", err
			}
			return "it does not say", nil
		}
		root := r.Entries[0]
		l.active = slices.Contains(root.GetEqualFoldAttributeValues("supportedCapabilities"), adCapability)
		if l.active {
			return "an Active Directory", nil
		}
		said := "no Active Directory"
		if v := root.GetEqualFoldAttributeValue("vendorName"); v != "" {
			said += "; its vendor is " + clip(v)
		}
		return said, nil
	})
}

// alive asks the server for nothing.
func (s searcher) alive() error {
	_, err := s.l.Search(&wire.SearchRequest{Scope: wire.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{"1.1"}})
	if broken(err) {
		return err
	}
	return nil
}

// A question is a search.
type question struct {
	base   string
	scope  int
	filter string
	attrs  []string
	most   int // entries; more are an error
}

const errTooMany = answer("more entries than asked for")

// ask returns the entries, page by page. References to other servers are left
// out. It returns what it has with errTooMany.
func (s searcher) ask(q question) ([]*wire.Entry, error) {
	request := &wire.SearchRequest{
		BaseDN: q.base, Scope: q.scope, DerefAliases: wire.NeverDerefAliases, Filter: q.filter, Attributes: q.attrs,
		TimeLimit: max(1, int(s.d.s.Network.Timeout.Seconds())), SizeLimit: q.most + 1, EnforceSizeLimit: true,
	}
	var paging *wire.ControlPaging
	if q.most >= pageSize {
		// The limit would be for all pages together, and some servers refuse
		// both at once.
		request.SizeLimit, request.EnforceSizeLimit = 0, false
		paging = wire.NewControlPaging(pageSize)
		request.Controls = []wire.Control{paging}
	}
	var all []*wire.Entry
	for {
		s.l.limit.left.Store(maxAnswer)
		r, err := s.l.Search(request)
		if r != nil {
			all = append(all, r.Entries...)
		}
		if len(all) > q.most {
			return all, errTooMany
		}
		if err != nil {
			return nil, err
		}
		if paging == nil {
			return all, nil
		}
		next, ok := wire.FindControl(r.Controls, wire.ControlTypePaging).(*wire.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return all, nil
		}
		if len(r.Entries) == 0 && string(next.Cookie) == string(paging.Cookie) {
			return nil, errors.New("the server sends the same page without end")
		}
		paging.SetCookie(next.Cookie)
	}
}

// command is the command line that asks the same; it prompts for the password.
func (s searcher) command(base, scope, filter string, attrs []string) string {
	var b strings.Builder
	if s.d.s.Network.CAFile != "" && s.d.s.Encryption != Plain {
		b.WriteString("LDAPTLS_CACERT=" + quote(s.d.s.Network.CAFile) + " ")
	}
	b.WriteString("ldapsearch -x -LLL -H " + quote(s.d.url(s.l.server)))
	if s.d.s.Encryption == StartTLS {
		b.WriteString(" -ZZ")
	}
	fmt.Fprintf(&b, " -D %s -W -b %s -s %s %s", quote(s.d.s.SearchUser), quote(base), scope, quote(filter))
	for _, a := range attrs {
		b.WriteString(" " + quote(a))
	}
	return b.String()
}

// quote writes the text as one word of a shell.
func quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@[]+", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// clip makes a value of the directory fit into a line of a trace.
func clip(text string) string { return fmt.Sprintf("%.200q", text) }

// scopes are the words of ldapsearch.
var scopes = map[int]string{wire.ScopeBaseObject: "base", wire.ScopeWholeSubtree: "sub"}

// asked is ask as a step of the trace.
func (s searcher) asked(step string, q question, say func([]*wire.Entry) (string, error)) error {
	command := ""
	if s.tr != nil {
		command = s.command(q.base, scopes[q.scope], q.filter, q.attrs)
	}
	return s.tr.step(step, fmt.Sprintf("%s below %s", q.filter, q.base), command, func() (string, error) {
		entries, err := s.ask(q)
		if err != nil && !errors.Is(err, errTooMany) {
			return "", err
		}
		return say(entries)
	})
}
