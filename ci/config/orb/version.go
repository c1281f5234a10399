package orb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// MaxSource is the size in bytes of the largest source that a [Registry] keeps.
const MaxSource = ci.MaxDoc * 3 / 4

// place is the name of a version's document: it orders releases by their
// numbers, after all development versions.
func place(version string) string {
	if strings.HasPrefix(version, "dev:") {
		return version
	}
	var b strings.Builder
	b.WriteString("r/")
	for number := range strings.SplitSeq(version, ".") {
		fmt.Fprintf(&b, "%09s.", number)
	}
	return b.String()
}

// versionOf is the version whose document has the name.
func versionOf(name string) string {
	rest, ok := strings.CutPrefix(name, "r/")
	if !ok {
		return name
	}
	numbers := strings.Split(strings.TrimSuffix(rest, "."), ".")
	for i, n := range numbers {
		if numbers[i] = strings.TrimLeft(n, "0"); numbers[i] == "" {
			numbers[i] = "0"
		}
	}
	return strings.Join(numbers, ".")
}

// version reads the document of a version.
func version(d ci.Doc) ci.OrbVersion {
	return ci.OrbVersion{ID: d.ID, Orb: d.Scope, Version: versionOf(d.Name), Created: d.Updated}
}

// alive reports whether a version has not expired.
func (r *Registry) alive(d ci.Doc) bool { return d.Due.IsZero() || d.Due.After(r.cfg.Now()) }

// OrbVersion returns the orb that ref names, and the version of it that ref
// chooses. A reference of the wrong form is [ci.ErrInvalid], one that finds
// nothing [ci.ErrNotFound].
func (r *Registry) OrbVersion(ctx context.Context, ref string) (ci.Orb, ci.OrbVersion, error) {
	p, err := Parse(ref)
	if err != nil {
		return ci.Orb{}, ci.OrbVersion{}, err
	}
	o, err := r.OrbNamed(ctx, p.Name)
	if err != nil {
		return o, ci.OrbVersion{}, err
	}
	d, err := r.choose(ctx, o.ID, p.Version)
	if err == nil && !r.alive(d) {
		err = ci.ErrNotFound
	}
	if err != nil {
		return o, ci.OrbVersion{}, fmt.Errorf("orb %s: %w", ref, lost(err))
	}
	return o, version(d), nil
}

// choose finds the document of the version that the rule means, as [Ref]
// describes them.
func (r *Registry) choose(ctx context.Context, orb, rule string) (ci.Doc, error) {
	if strings.HasPrefix(rule, "dev:") || releasePattern.MatchString(rule) {
		return r.docs.DocNamed(ctx, kindVersion, orb, place(rule))
	}
	from := "r/"
	if rule != "volatile" {
		from = place(rule)
	}
	q := ci.DocQuery{Kind: kindVersion, Scope: orb, After: from, Before: from + "~", Newest: true, Limit: 1}
	for d, err := range r.docs.Docs(ctx, q) {
		return d, err
	}
	return ci.Doc{}, ci.ErrNotFound
}

// OrbVersions returns the releases of an orb, the highest first, at most limit;
// 0 is all. Development versions are not among them.
func (r *Registry) OrbVersions(ctx context.Context, orb string, limit int) ([]ci.OrbVersion, error) {
	var out []ci.OrbVersion
	for d, err := range r.docs.Docs(ctx, ci.DocQuery{Kind: kindVersion, Scope: orb, After: "r/", Newest: true, Limit: limit}) {
		if err != nil {
			return nil, fmt.Errorf("list versions of orb %s: %w", orb, err)
		}
		out = append(out, version(d))
	}
	return out, nil
}

// OrbSource returns the source of a version by its ID.
func (r *Registry) OrbSource(ctx context.Context, version string) ([]byte, error) {
	d, err := r.docs.Doc(ctx, kindSource, version)
	if err != nil {
		return nil, fmt.Errorf("source of orb version %.100q: %w", version, lost(err))
	}
	var s string
	err = decode(d, &s)
	return []byte(s), err
}

// PublishOrb adds a release ("1.2.3") to an orb or replaces a development
// version ("dev:label"), which then lives for Config.DevAge. The same release
// with the same source again is no error, with another source it is
// [ci.ErrConflict].
func (r *Registry) PublishOrb(ctx context.Context, orb, number string, source []byte) (v ci.OrbVersion, err error) {
	dev := strings.HasPrefix(number, "dev:")
	switch {
	case dev && !devPattern.MatchString(number) || !dev && !releasePattern.MatchString(number) || len(number) > 100:
		return v, fmt.Errorf("publish orb: %.100q is not a version; write a release like 1.2.3 or a development version like dev:first: %w", number, ci.ErrInvalid)
	case len(source) == 0:
		return v, fmt.Errorf("publish orb: the source is empty: %w", ci.ErrInvalid)
	case len(source) > MaxSource:
		return v, tooLarge(len(source))
	}
	body, err := encodeSource(source)
	if err != nil {
		return v, err
	}
	err = r.change(ctx, func() ([]ci.DocChange, error) {
		o, err := r.docs.Doc(ctx, kindOrb, orb)
		if err != nil {
			return nil, fmt.Errorf("publish orb %.100q: %w", orb, lost(err))
		}
		now := r.cfg.Now()
		d, err := r.docs.DocNamed(ctx, kindVersion, orb, place(number))
		switch {
		case errors.Is(err, ci.ErrNotFound):
			d = ci.Doc{Kind: kindVersion, ID: ci.NewID(), Scope: orb, Name: place(number)}
		case err != nil:
			return nil, err
		case !dev:
			v = version(d)
			return nil, r.same(ctx, v, o.Name, source)
		}
		d.Updated = now
		if dev {
			d.Due = now.Add(r.cfg.DevAge)
		}
		v = version(d)
		changes := []ci.DocChange{
			{Doc: o}, {Doc: d},
			{Doc: ci.Doc{Kind: kindSource, ID: d.ID, Body: body, Version: ci.AnyVersion}},
		}
		return r.expired(ctx, changes, d.ID)
	})
	return v, err
}

// same returns an error when a release has another source.
func (r *Registry) same(ctx context.Context, v ci.OrbVersion, orb string, source []byte) error {
	have, err := r.OrbSource(ctx, v.ID)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, source) {
		return fmt.Errorf("publish orb %s: version %s is published, and a release never changes; choose a higher version: %w", orb, v.Version, ci.ErrConflict)
	}
	return nil
}

// expired appends the deletion of some versions that have expired, but not of
// the one that is being written.
func (r *Registry) expired(ctx context.Context, to []ci.DocChange, but string) ([]ci.DocChange, error) {
	for d, err := range r.docs.DueDocs(ctx, kindVersion, r.cfg.Now(), 20) {
		if err != nil {
			return nil, err
		}
		if d.ID != but {
			source := ci.Doc{Kind: kindSource, ID: d.ID, Version: ci.AnyVersion}
			to = append(to, ci.DocChange{Doc: d, Delete: true}, ci.DocChange{Doc: source, Delete: true})
		}
	}
	return to, nil
}

// encodeSource returns the body of a source's document.
func encodeSource(source []byte) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(source)); err != nil {
		return nil, err
	}
	if b.Len() > ci.MaxDoc {
		return nil, tooLarge(len(source))
	}
	return b.Bytes(), nil
}

func tooLarge(n int) error {
	return fmt.Errorf("publish orb: the source has %d bytes, more than the %d that are kept; put long scripts into an image or a repository: %w", n, MaxSource, ci.ErrInvalid)
}
