package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// The kinds of documents. A class lies in the scope of its namespace, a token
// in that of its class.
const (
	kindClass = "runner-class"
	kindToken = "runner-token"
)

// maxBody is the size of the largest request, in bytes.
const maxBody = 64 << 10

// A class is a resource class on the wire.
type class struct {
	ID          string `json:"id"`
	Name        string `json:"resource_class"`
	Description string `json:"description"`
}

// A page is a list on the wire. There is one page always.
type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next_page_token"`
}

func pageOf[T any](items []T) page[T] {
	if items == nil {
		items = []T{}
	}
	return page[T]{Items: items}
}

var classPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,99}$`)

// classOf reads the document of a class.
func classOf(d ci.Doc, n ci.Namespace) class {
	c := class{ID: d.ID, Name: n.Name + "/" + d.Name}
	_ = json.Unmarshal(d.Body, &c.Description) // a string, as it was written
	return c
}

// may says whether the caller may see the runners of an organisation, or
// change them. Who may not see them is told that there are none.
func (c *call) may(org string, write bool) error {
	ctx := c.r.Context()
	if c.cfg.MayOrg != nil && org != "" {
		err := c.cfg.MayOrg(ctx, c.by, org, false)
		if errors.Is(err, ci.ErrDenied) {
			return ci.ErrNotFound
		}
		if err == nil && write {
			if err = c.cfg.MayOrg(ctx, c.by, org, true); errors.Is(err, ci.ErrDenied) {
				err = fmt.Errorf("you may not change the runners of %s: %w", org, ci.ErrDenied)
			}
		}
		return err
	}
	mine, err := c.cfg.Orgs(ctx, c.by)
	if err == nil && !slices.Contains(mine, org) {
		err = ci.ErrNotFound
	}
	return err
}

// namespace returns the namespace of that name, if the caller may.
func (c *call) namespace(name string, write bool) (ci.Namespace, error) {
	n, err := c.names.Namespace(c.r.Context(), name)
	if err == nil {
		err = c.may(n.Org, write)
	}
	if errors.Is(err, ci.ErrNotFound) {
		err = wire.Refuse(404, fmt.Sprintf("The namespace %.100q does not exist, or you do not belong to its organization; `circleci namespace create` makes one.", name))
	}
	return n, err
}

// class returns the class of that name, as in "acme/linux", if the caller may.
func (c *call) class(name string, write bool) (ci.Namespace, ci.Doc, error) {
	space, own, ok := strings.Cut(name, "/")
	if !ok {
		return ci.Namespace{}, ci.Doc{}, fmt.Errorf("%.100q is no resource class; one is like acme/linux: %w", name, ci.ErrInvalid)
	}
	n, err := c.namespace(space, write)
	if err != nil {
		return n, ci.Doc{}, err
	}
	d, err := c.docs.DocNamed(c.r.Context(), kindClass, n.ID, own)
	if errors.Is(err, ci.ErrNotFound) {
		err = wire.Refuse(404, fmt.Sprintf("The resource class %.100q does not exist; `circleci runner resource-class list %s` shows those that do.", name, n.Name))
	}
	return n, d, err
}

// classByID returns the class with that ID, if the caller may.
func (c *call) classByID(id string, write bool) (ci.Namespace, ci.Doc, error) {
	ctx := c.r.Context()
	d, err := c.docs.Doc(ctx, kindClass, id)
	if err != nil {
		return ci.Namespace{}, d, fmt.Errorf("resource class %.60s: %w", id, lost(err))
	}
	n, err := c.names.NamespaceByID(ctx, d.Scope)
	if err == nil {
		err = c.may(n.Org, write)
	}
	if err != nil {
		err = fmt.Errorf("resource class %.60s: %w", id, err)
	}
	return n, d, err
}

// lost is err without the words of the store when the thing does not exist.
func lost(err error) error {
	if errors.Is(err, ci.ErrNotFound) {
		return ci.ErrNotFound
	}
	return err
}

// selected returns the namespace that the address names: by name, by a
// resource class (whose document comes with it), or by an organisation.
func (c *call) selected() (n ci.Namespace, classes []ci.Doc, err error) {
	q := c.r.URL.Query()
	if name := q.Get("resource-class"); name != "" {
		n, d, err := c.class(name, false)
		return n, []ci.Doc{d}, err
	}
	switch {
	case q.Get("namespace") != "":
		n, err = c.namespace(q.Get("namespace"), false)
	case q.Get("org-id") != "":
		n, err = c.ofOrg(strings.ToLower(q.Get("org-id")))
	default:
		err = wire.Refuse(400, "Say which: namespace, resource-class or org-id is needed in the address.")
	}
	if err != nil || n.ID == "" {
		return n, nil, err
	}
	for d, err := range c.docs.Docs(c.r.Context(), ci.DocQuery{Kind: kindClass, Scope: n.ID}) {
		if err != nil {
			return n, nil, err
		}
		classes = append(classes, d)
	}
	return n, classes, nil
}

// ofOrg returns the namespace of an organisation by its ID, the zero one if it
// has none.
func (c *call) ofOrg(id string) (ci.Namespace, error) {
	ctx := c.r.Context()
	mine, err := c.cfg.Orgs(ctx, c.by)
	if err != nil {
		return ci.Namespace{}, err
	}
	i := slices.IndexFunc(mine, func(slug string) bool { return ci.OrgID(slug) == id })
	if i < 0 {
		return ci.Namespace{}, wire.Refuse(404, "Organization not found")
	}
	n, err := c.names.NamespaceOf(ctx, mine[i])
	if errors.Is(err, ci.ErrNotFound) {
		return ci.Namespace{}, nil
	}
	return n, err
}

func (c *call) listClasses() (any, error) {
	n, docs, err := c.selected()
	if err != nil {
		return nil, err
	}
	var out []class
	for _, d := range docs {
		out = append(out, classOf(d, n))
	}
	return pageOf(out), nil
}

func (c *call) createClass() (any, error) {
	var q struct {
		Name        string `json:"resource_class"`
		Description string `json:"description"`
		OrgID       string `json:"org_id"` // sent empty by some; the namespace says it
	}
	if err := wire.Decode(c.w, c.r, maxBody, &q); err != nil {
		return nil, err
	}
	space, own, ok := strings.Cut(q.Name, "/")
	if !ok || !classPattern.MatchString(own) {
		return nil, fmt.Errorf("%.100q is no resource class; one is a namespace, a slash and a name of lower-case letters, digits, _, . and -, like acme/linux: %w", q.Name, ci.ErrInvalid)
	}
	if len(q.Description) > 1000 {
		return nil, fmt.Errorf("the description is longer than 1000 bytes: %w", ci.ErrInvalid)
	}
	n, err := c.namespace(space, true)
	if err != nil {
		return nil, err
	}
	text, _ := json.Marshal(q.Description)
	d := ci.Doc{Kind: kindClass, ID: ci.NewID(), Scope: n.ID, Name: own, Body: text}
	_, err = c.docs.WriteDocs(c.r.Context(), ci.DocChange{Doc: d})
	if errors.Is(err, ci.ErrConflict) {
		return nil, wire.Refuse(409, fmt.Sprintf("The resource class %s/%s exists already.", n.Name, own))
	}
	return classOf(d, n), err
}

func (c *call) deleteClass() (any, error) {
	force := c.r.PathValue("force")
	if force != "" && force != "force" {
		return nil, ci.ErrNotFound
	}
	n, d, err := c.classByID(c.r.PathValue("id"), true)
	if err != nil {
		return nil, err
	}
	ctx := c.r.Context()
	changes := []ci.DocChange{{Doc: d, Delete: true}}
	for t, err := range c.docs.Docs(ctx, ci.DocQuery{Kind: kindToken, Scope: d.ID}) {
		if err != nil {
			return nil, err
		}
		changes = append(changes, ci.DocChange{Doc: t, Delete: true})
	}
	if len(changes) > 1 && force == "" {
		return nil, wire.Refuse(409, fmt.Sprintf("The resource class %s/%s has %d tokens; delete them first, or delete it by force.", n.Name, d.Name, len(changes)-1))
	}
	if _, err = c.docs.WriteDocs(ctx, changes...); errors.Is(err, ci.ErrConflict) {
		return nil, wire.Refuse(409, "The resource class was changed meanwhile; try again.")
	}
	return message{"Resource class deleted."}, err
}

// name returns the name of the class with that ID.
func (h *Handler) name(ctx context.Context, id string) (string, error) {
	d, err := h.docs.Doc(ctx, kindClass, id)
	if err != nil {
		return "", lost(err)
	}
	n, err := h.names.NamespaceByID(ctx, d.Scope)
	return n.Name + "/" + d.Name, err
}
