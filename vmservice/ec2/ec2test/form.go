package ec2test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// list returns the values of Name.1, Name.2 and so on.
func list(form url.Values, name string) []string {
	var all []string
	for i := 1; form.Has(fmt.Sprintf("%s.%d", name, i)); i++ {
		all = append(all, form.Get(fmt.Sprintf("%s.%d", name, i)))
	}
	return all
}

// tagsFor returns the tags that a request has for one kind of resource.
func tagsFor(form url.Values, resource string) map[string]string {
	tags := map[string]string{}
	for i := 1; form.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", i)); i++ {
		p := fmt.Sprintf("TagSpecification.%d.", i)
		if form.Get(p+"ResourceType") != resource {
			continue
		}
		for j := 1; form.Has(fmt.Sprintf("%sTag.%d.Key", p, j)); j++ {
			tags[form.Get(fmt.Sprintf("%sTag.%d.Key", p, j))] = form.Get(fmt.Sprintf("%sTag.%d.Value", p, j))
		}
	}
	return tags
}

// filtered reports whether something passes all filters of a request. The
// property of a filter is asked by its name.
func filtered(form url.Values, tags map[string]string, property func(name string) (string, bool)) (bool, *fault) {
	for i := 1; form.Has(fmt.Sprintf("Filter.%d.Name", i)); i++ {
		name := form.Get(fmt.Sprintf("Filter.%d.Name", i))
		value, ok := property(name)
		if key, isTag := strings.CutPrefix(name, "tag:"); isTag {
			value, ok = tags[key]
			if !ok {
				return false, nil
			}
		}
		if !ok {
			return false, bad("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(list(form, fmt.Sprintf("Filter.%d.Value", i)), func(pattern string) bool {
			fits, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(value, "/", "\x00"))
			return err == nil && fits
		}) {
			return false, nil
		}
	}
	return true, nil
}

// page cuts a page out of all that there is, and returns the token of the next.
func page[T any](c *Cloud, form url.Values, all []T) ([]T, string, *fault) {
	size, start := c.cfg.Page, 0
	if text := form.Get("MaxResults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 5 || n > 1000 {
			return nil, "", bad("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid. Expecting a value from 5 to 1000.", text)
		}
		size = min(size, n)
	}
	if text := form.Get("NextToken"); text != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(text, "page-"))
		if err != nil || n < 0 {
			return nil, "", bad("InvalidNextToken", "The token '%s' is invalid", text)
		}
		start = min(n, len(all))
	}
	end := min(start+size, len(all))
	next := ""
	if end < len(all) {
		next = fmt.Sprintf("page-%d", end)
	}
	return all[start:end], next, nil
}

// sum tells requests apart that have the same client token.
func sum(form url.Values) string {
	rest := url.Values{}
	for k, v := range form {
		if k != "ClientToken" && k != "DryRun" {
			rest[k] = v
		}
	}
	s := sha256.Sum256([]byte(rest.Encode()))
	return hex.EncodeToString(s[:])
}
