package orb

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Ref names an orb and a version of it, or a rule that chooses one.
type Ref struct {
	Name string // ns/name
	// Version is 1.2.3 (that one), 1.2 (the newest 1.2.x), 1 (the newest
	// 1.x.y), volatile (the newest of all) or dev:label (that one).
	Version string
}

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*$`)
	numberPattern  = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}$`)
	devPattern     = regexp.MustCompile(`^dev:[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*$`)
	releasePattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$`)
)

// validName reports whether s has the form ns/name.
func validName(s string) bool { return len(s) <= 256 && namePattern.MatchString(s) }

// Parse reads a reference. Anything but ns/name@version, with a version as
// [Ref] describes, is [ci.ErrInvalid].
func Parse(s string) (Ref, error) {
	name, version, ok := strings.Cut(s, "@")
	if !ok || !validName(name) || len(version) > 256 ||
		version != "volatile" && !numberPattern.MatchString(version) && !devPattern.MatchString(version) {
		return Ref{}, fmt.Errorf("orb reference %.100q is not of the form namespace/name@version: %w", s, ci.ErrInvalid)
	}
	return Ref{Name: name, Version: version}, nil
}

// String returns the reference as it is written.
func (r Ref) String() string { return r.Name + "@" + r.Version }

// Choose returns the version that r means out of those that exist, and false
// when there is none. An exact version, or a development label, is taken as it
// is; the rules only ever choose releases.
func (r Ref) Choose(versions []string) (string, bool) {
	if slices.Contains(versions, r.Version) {
		return r.Version, true
	}
	if strings.HasPrefix(r.Version, "dev:") || releasePattern.MatchString(r.Version) {
		return "", false
	}
	best := ""
	for _, v := range versions {
		if !releasePattern.MatchString(v) || r.Version != "volatile" && !strings.HasPrefix(v, r.Version+".") {
			continue
		}
		if best == "" || compareVersions(v, best) > 0 {
			best = v
		}
	}
	return best, best != ""
}

// compareVersions orders releases by their numbers and puts whatever is not a
// release first.
func compareVersions(a, b string) int {
	ra, rb := releasePattern.MatchString(a), releasePattern.MatchString(b)
	if !ra || !rb {
		if ra != rb {
			if ra {
				return 1
			}
			return -1
		}
		return cmp.Compare(a, b)
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range as {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// sortRefs sorts exact references by name and version.
func sortRefs(refs []string) {
	slices.SortFunc(refs, func(a, b string) int {
		an, av, _ := strings.Cut(a, "@")
		bn, bv, _ := strings.Cut(b, "@")
		return cmp.Or(cmp.Compare(an, bn), compareVersions(av, bv))
	})
}
