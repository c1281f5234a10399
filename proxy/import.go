package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Import reads settings out of a file that other programs read: the
// customizations and /etc/environment with their variables, JVM_OPTS in them,
// and /etc/replicated.conf with HttpProxy. It returns the settings, and what is
// odd about the file, a sentence each: two places that disagree, forms that
// some programs do not read. A file that says nothing of proxies gives the zero
// Settings. Errors wrap [ci.ErrInvalid] and name the line.
func Import(text []byte) (Settings, []string, error) {
	if t := strings.TrimSpace(string(text)); strings.HasPrefix(t, "{") {
		return importJSON([]byte(t))
	}
	vars, java := map[string]string{}, ""
	var odd []string
	for i, line := range strings.Split(string(text), "\n") {
		name, value, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		name = strings.TrimSpace(name)
		lower := strings.ToLower(name)
		if !found || lower != "http_proxy" && lower != "https_proxy" && lower != "no_proxy" && name != "JVM_OPTS" {
			continue
		}
		words, err := splitShell(value)
		if err != nil {
			return Settings{}, nil, fmt.Errorf("%w: line %d: %s: %w", ci.ErrInvalid, i+1, name, err)
		}
		value = strings.Join(words, " ")
		if name == "JVM_OPTS" {
			java = value
			continue
		}
		if was, ok := vars[lower]; ok && was != value {
			odd = append(odd, fmt.Sprintf("line %d: %s differs from an earlier one: the last one holds", i+1, name))
		}
		if lower != "no_proxy" && value != "" && !strings.Contains(value, "://") {
			odd = append(odd, fmt.Sprintf("line %d: %s has no protocol: apt refuses that; http:// is assumed here", i+1, name))
			value = "http://" + value
		}
		if lower == "no_proxy" {
			odd = append(odd, oddList(i+1, name, value)...)
		}
		vars[lower] = value
	}
	s, err := Parse(vars["http_proxy"], vars["https_proxy"], vars["no_proxy"])
	if err != nil || java == "" {
		return s, odd, err
	}
	j, err := ReadJavaOptions(java)
	if err != nil {
		return Settings{}, nil, err
	}
	return merge(s, j, odd)
}

// oddList says what is odd about a NO_PROXY.
func oddList(line int, name, value string) []string {
	var odd []string
	for _, o := range []struct{ part, says string }{
		{"*.", "curl, wget, Python and apt do not read *. before a name: the bare name covers what is below it"},
		{" ", "a blank ends the list for some programs, and hides the item behind it from apt: use commas alone"},
		{"|", "| separates in Java only: use commas"},
	} {
		if strings.Contains(strings.TrimSpace(value), o.part) {
			odd = append(odd, fmt.Sprintf("line %d: %s: %s", line, name, o.says))
		}
	}
	return odd
}

// merge adds what JVM_OPTS says to what the variables say.
func merge(s, j Settings, odd []string) (Settings, []string, error) {
	if s.IsZero() {
		s.HTTP, s.HTTPS = j.HTTP, j.HTTPS
	}
	for _, p := range []struct {
		env, opts  string
		ours, java Address
	}{{"HTTP_PROXY", "http.proxyHost", s.HTTP, j.HTTP}, {"HTTPS_PROXY", "https.proxyHost", s.HTTPS, j.HTTPS}} {
		switch {
		case p.java.IsZero() && !p.ours.IsZero():
			odd = append(odd, fmt.Sprintf("%s is %s, but JVM_OPTS sets no %s: Java goes there directly", p.env, p.ours, p.opts))
		case !p.java.IsZero() && p.java.Place() != p.ours.Place():
			odd = append(odd, fmt.Sprintf("%s is %s, but JVM_OPTS has %s for %s: the first one is taken", p.env, p.ours, p.java.Place(), p.opts))
		}
	}
	return s.Add(j.Direct...), odd, nil
}

func importJSON(text []byte) (Settings, []string, error) {
	var doc struct {
		HTTPProxy string          `json:"HttpProxy"`
		NoProxy   json.RawMessage `json:"NoProxy"`
		Proxies   struct {
			HTTP  string `json:"http-proxy"`
			HTTPS string `json:"https-proxy"`
			No    string `json:"no-proxy"`
		} `json:"proxies"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return Settings{}, nil, fmt.Errorf("%w: %w", ci.ErrInvalid, err)
	}
	if doc.Proxies.HTTP != "" || doc.Proxies.HTTPS != "" {
		s, err := Parse(doc.Proxies.HTTP, doc.Proxies.HTTPS, doc.Proxies.No)
		return s, nil, err
	}
	var list []string
	if len(doc.NoProxy) > 0 {
		var one string
		if json.Unmarshal(doc.NoProxy, &one) == nil {
			list = []string{one}
		} else if err := json.Unmarshal(doc.NoProxy, &list); err != nil {
			return Settings{}, nil, fmt.Errorf("%w: NoProxy is neither a text nor a list of texts", ci.ErrInvalid)
		}
	}
	s, err := Parse(doc.HTTPProxy, "", strings.Join(list, ","))
	if err != nil {
		return Settings{}, nil, errors.Join(err)
	}
	return s, nil, nil
}
