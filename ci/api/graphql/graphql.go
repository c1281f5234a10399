package graphql

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// maxBody is the size of the largest request, in bytes: a source that is just
// too large to be published is answered with a reason.
const maxBody = 4 << 20

// Config holds what a [Handler] is told about its surroundings. The zero
// Config lets nobody in.
type Config struct {
	// Log receives faults; nil is silent.
	Log *slog.Logger
	// Auth says who sends the token, as api.Config.Auth does.
	Auth func(r *http.Request, token string) (ci.Actor, error)
	// Orgs lists the slugs of the organisations that the actor belongs to.
	Orgs func(ctx context.Context, by ci.Actor) ([]string, error)
	// MayOrg says whether the actor may see what is the organisation's own, or
	// change it: nil, [ci.ErrDenied] or [ci.ErrNotFound]. nil allows it to those
	// of Orgs.
	MayOrg func(ctx context.Context, by ci.Actor, org string, write bool) error
	// Admin says whether the actor may import namespaces that are no
	// organisation's, and change those; nil denies it to everybody.
	Admin func(ctx context.Context, by ci.Actor) error
	// Compile compiles a configuration, as api.Chapters.Compile does.
	Compile func(ctx context.Context, r api.CompileRequest) (expanded string, err error)
	// CompileOrb checks the source of an orb, which may use the private orbs of
	// the organisation, and returns it as it is read. What is wrong with it is
	// [ci.ErrInvalid] or [ci.ErrNotFound], one joined error for each problem. nil
	// refuses to publish.
	CompileOrb func(ctx context.Context, source, org string) (expanded string, err error)
	// Contexts and Variables answer clients that do not find the REST API; nil
	// has none.
	Contexts  ci.Contexts
	Variables ci.Variables
}

// A Handler serves POST requests with a GraphQL document. It is safe for
// concurrent use.
type Handler struct {
	registry Registry
	cfg      Config
	log      *slog.Logger
	gate     wire.Gate
	query    *object
	mutation *object
}

// New returns the handler. A nil registry has no orbs. It starts nothing.
func New(registry Registry, cfg Config) *Handler {
	if cfg.Auth == nil {
		cfg.Auth = func(*http.Request, string) (ci.Actor, error) { return ci.Actor{}, ci.ErrDenied }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Orgs == nil {
		cfg.Orgs = func(context.Context, ci.Actor) ([]string, error) { return nil, nil }
	}
	h := &Handler{registry: registry, cfg: cfg, log: cfg.Log}
	h.query, h.mutation = schema()
	return h
}

// A request is what clients send.
type request struct {
	Query         string         `json:"query"`
	Variables     map[string]any `json:"variables"`
	OperationName string         `json:"operationName"`
}

// ServeHTTP answers one document.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wire.Head(w, r)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "GraphQL is asked with POST.")
		return
	}
	by, err := h.cfg.Auth(r, wire.Token(r))
	if errors.Is(err, ci.ErrDenied) || errors.Is(err, ci.ErrNotFound) {
		refuse(w, http.StatusOK, "You must log in first.")
		return
	}
	var q request
	if err == nil {
		err = wire.Decode(w, r, maxBody, &q)
	}
	if err != nil {
		status, text, known := wire.Answer(err)
		if !known {
			h.log.Error("graphql", "request", w.Header().Get("X-Request-Id"), "err", err)
		}
		refuse(w, status, text)
		return
	}
	wire.Write(w, http.StatusOK, h.answer(r.Context(), by, q))
}

// refuse answers a request without executing anything.
func refuse(w http.ResponseWriter, status int, text string) {
	wire.Reply(w, status, struct {
		Errors []failure `json:"errors"`
	}{[]failure{{Message: text}}})
}

// answer executes a request and returns the reply.
func (h *Handler) answer(ctx context.Context, by ci.Actor, q request) []byte {
	doc, err := parse(q.Query)
	if err != nil {
		return mistaken(err)
	}
	o, err := doc.choose(q.OperationName)
	if err != nil {
		return mistaken(err)
	}
	root := h.query
	if o.kind == "mutation" {
		root = h.mutation
	}
	steps, wrong := plan(doc, o, root, q.Variables)
	if len(wrong) > 0 {
		return mistaken(wrong...)
	}
	c := &call{Handler: h, by: by}
	c.out.WriteString(`{"data":`)
	err = c.fields(ctx, steps, nil)
	switch {
	case errors.Is(err, errFull):
		return mistaken(fmt.Errorf("the reply would be larger than %d bytes or have more than %d values; ask for less at once", maxReply, maxValues))
	case err != nil:
		return mistaken(errors.New("the client has gone"))
	}
	if len(c.errs) > 0 {
		list, _ := json.Marshal(c.errs) // of strings and numbers
		c.out.WriteString(`,"errors":`)
		c.out.Write(list)
	}
	c.out.WriteByte('}')
	return c.out.Bytes()
}

// choose returns the operation that is asked for.
func (d *document) choose(name string) (*operation, error) {
	if name == "" && len(d.operations) == 1 {
		return d.operations[0], nil
	}
	for _, o := range d.operations {
		if o.name == name && name != "" {
			return o, nil
		}
	}
	if name == "" {
		return nil, errors.New("the document has several operations; operationName says which one is meant")
	}
	return nil, fmt.Errorf("the document has no operation %.60q", name)
}

// mistaken is the reply to a document that cannot be executed.
func mistaken(errs ...error) []byte {
	var list []failure
	for _, err := range errs {
		f := failure{Message: err.Error()}
		var m *mistake
		if errors.As(err, &m) {
			f.Locations = []place{m.at}
		}
		list = append(list, f)
	}
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(map[string]any{"errors": list})
	return bytes.TrimRight(b.Bytes(), "\n")
}
