package graphql

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// A category is what an orb may be filed under.
type category string

// allCategories are the ones that there are, by name.
var allCategories = []category{
	"Artifacts/Registry", "Build", "Cloud Platform", "Code Analysis", "Collaboration", "Containers", "Deployment",
	"Infra Automation", "Kubernetes", "Mobile", "Monitoring", "Notifications", "Reporting", "Security", "Testing", "Windows",
}

// id follows from the name.
func (c category) id() string {
	b := sha256.Sum256([]byte("rondo orb category " + c))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// categorize is the mutation that files an orb under a category, or takes it
// out.
func (t *types) categorize(name string, in bool) field {
	f := t.mutation(name, "orb", t.orb, []arg{{"orbId", "UUID!"}, {"categoryId", "UUID!"}}, func(ctx context.Context, c *call, a args) (any, error) {
		i := slices.IndexFunc(allCategories, func(k category) bool { return k.id() == a.text("categoryId") })
		if i < 0 {
			return nil, fmt.Errorf("category %s: there is none; `circleci orb list-categories` shows them: %w", a.text("categoryId"), ci.ErrNotFound)
		}
		o, err := c.changeOrb(ctx, a.text("orbId"), func(o *ci.Orb) error {
			o.Categories = slices.DeleteFunc(o.Categories, func(s string) bool { return s == string(allCategories[i]) })
			if in {
				o.Categories = append(o.Categories, string(allCategories[i]))
				slices.Sort(o.Categories)
			}
			return nil
		})
		return categorized{o, allCategories[i]}, err
	}, nil)
	f.of.fields["orb"] = part(t.orb, func(o outcome) any { return of(o, func(c categorized) any { return c.orb }) })
	f.of.fields["orbId"] = plain(func(o outcome) any { return of(o, func(c categorized) any { return c.orb.ID }) })
	f.of.fields["categoryId"] = plain(func(o outcome) any { return of(o, func(c categorized) any { return c.category.id() }) })
	return f
}

// A categorized is an orb and the category that it was put into or taken from.
type categorized struct {
	orb      ci.Orb
	category category
}

// of is a part of what a mutation made, null if it failed.
func of[T any](o outcome, get func(T) any) any {
	if v, ok := o.made.(T); ok {
		return get(v)
	}
	return nil
}
