package secret

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/secret/expr"
)

// A Decision says whether a job may use a context, for people.
type Decision struct {
	Context string       // the name, as the job has it
	ID      ci.ContextID // "" for one that does not exist
	Allowed bool
	// Kind is that of the restrictions of which none passed, "" when something
	// else denied.
	Kind ci.RestrictionKind
	// Reason is one sentence: why it is denied and what to do, or why it is
	// allowed.
	Reason string
}

// Explain returns the decision for each context that the job asks for, in
// order. It hands out nothing and puts nothing on record.
func (s *Safe) Explain(ctx context.Context, n ci.Need) ([]Decision, error) {
	d, _, err := s.decide(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("explain contexts: %w", err)
	}
	return d, nil
}

// decide judges each context and returns those that exist.
func (s *Safe) decide(ctx context.Context, n ci.Need) ([]Decision, []record, error) {
	if asked := len(n.Contexts); asked > MaxAsked {
		reason := fmt.Sprintf("the job asks for %d contexts, more than %d: put their variables together into fewer", asked, MaxAsked)
		return []Decision{{Context: n.Contexts[MaxAsked], Reason: reason}}, nil, nil
	}
	var decisions []Decision
	var contexts []record
	for _, name := range n.Contexts {
		d, c, err := s.judge(ctx, n, name)
		if err != nil {
			return nil, nil, err
		}
		decisions = append(decisions, d)
		if c.ID != "" {
			contexts = append(contexts, c)
		}
	}
	return decisions, contexts, nil
}

// judge decides about one context.
func (s *Safe) judge(ctx context.Context, n ci.Need, name string) (Decision, record, error) {
	d := Decision{Context: name}
	if foreign(n) {
		d.Reason = fmt.Sprintf("the pipeline comes from the fork %s, and %s gives its secrets to no fork: an administrator can change that in the project's settings", n.Pipeline.Trigger.Fork, n.Project.Slug)
		return d, record{}, nil
	}
	org := n.Project.OrgSlug()
	doc, err := s.docs.DocNamed(ctx, kindContext, org, name)
	if errors.Is(err, ci.ErrNotFound) {
		d.Reason = fmt.Sprintf("%s has no context of this name: create it, or correct the name in the configuration", org)
		return d, record{}, nil
	}
	if err != nil {
		return d, record{}, err
	}
	c, err := readContext(doc)
	if err != nil {
		return d, record{}, err
	}
	d.ID = c.ID
	list, err := s.restrictions(ctx, c.ID)
	if err != nil {
		return d, c, err
	}
	return s.judgeKinds(ctx, n, c, list, d)
}

// judgeKinds completes the decision about a context by its restrictions.
func (s *Safe) judgeKinds(ctx context.Context, n ci.Need, c record, list []ci.Restriction, d Decision) (Decision, record, error) {
	groups := valuesOf(list, ci.RestrictGroup)
	why, err := s.judgeGroups(ctx, c, groups, n.Actor)
	if err != nil {
		return d, c, err
	}
	if d.Kind = ci.RestrictGroup; why != "" {
		d.Reason = why
		return d, c, nil
	}
	projects := valuesOf(list, ci.RestrictProject)
	if d.Kind = ci.RestrictProject; len(projects) > 0 && !slices.Contains(projects, string(n.Project.ID)) {
		d.Reason = fmt.Sprintf("it is restricted to other projects than %s: an administrator of %s can add this one", n.Project.Slug, c.Org)
		return d, c, nil
	}
	expressions := valuesOf(list, ci.RestrictExpression)
	if d.Kind, d.Reason = ci.RestrictExpression, s.judgeExpressions(n, expressions); d.Reason != "" {
		return d, c, nil
	}
	d.Kind, d.Allowed, d.Reason = "", true, "it has no restrictions"
	if len(list) > 0 || c.Closed {
		d.Reason = "the job passes its restrictions"
	}
	return d, c, nil
}

// judgeExpressions returns why none of the expressions holds, "" if one does
// or there are none.
func (s *Safe) judgeExpressions(n ci.Need, expressions []string) string {
	if len(expressions) == 0 {
		return ""
	}
	values := map[string]any{expr.SSH: false}
	maps.Copy(values, s.cfg.Values(n))
	var why []string
	for _, text := range expressions {
		x, err := expr.Parse(text)
		holds := false
		if err == nil {
			holds, err = x.Holds(values)
		}
		switch {
		case err != nil:
			why = append(why, fmt.Sprintf("%s cannot be decided here (%v)", quoted(text), err))
		case holds:
			return ""
		default:
			why = append(why, fmt.Sprintf("%s is not true here", quoted(text)))
		}
	}
	return "of its expressions none holds: " + some(why, "; ")
}

// quoted is the beginning of an expression, which has quotes of its own, in
// others.
func quoted(text string) string {
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "..."
	}
	return "`" + strings.Join(strings.Fields(text), " ") + "`"
}

// some joins the first of the texts and says how many more there are, so that
// no message grows with what is in the database.
func some(texts []string, by string) string {
	const most = 5
	if more := len(texts) - most; more > 0 {
		return fmt.Sprintf("%s%s%d more", strings.Join(texts[:most], by), by, more)
	}
	return strings.Join(texts, by)
}
