package proxy

import (
	"net/url"
	"strings"
)

// A Finding says what one tool does with one address under given settings.
type Finding struct {
	Tool Tool
	URL  string
	Verdict
	// Meant is the proxy that the settings mean; "" is none.
	Meant string
	// Advice is what to do where Verdict and Meant differ; "" where they agree.
	Advice string
}

// Check foretells, for every tool and every address, whether a proxy is asked,
// when the tool gets the environment of [Settings.Environ] and the options of
// the target [JVMOptions]. Where a tool cannot be told what the settings mean,
// the finding says so.
func (s Settings) Check(addresses ...*url.URL) []Finding {
	env, lost := s.Environ()
	options, more := s.javaOptions()
	lost = append(lost, more...)
	lookup := func(name string) (string, bool) {
		if name == "JVM_OPTS" {
			return strings.Join(options, " "), len(options) > 0
		}
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, name+"="); ok {
				return v, true
			}
		}
		return "", false
	}
	var all []Finding
	for _, u := range addresses {
		meant, rule := s.For(u)
		for _, t := range Tools() {
			f := Finding{Tool: t, URL: u.String(), Verdict: t.Verdict(lookup, u), Meant: meant.String()}
			f.Proxy = show(f.Proxy)
			switch asks := f.Proxy != ""; {
			case f.Refuses != "":
				f.Advice = f.Refuses
			case asks && meant.IsZero():
				f.Advice = string(t) + " does not understand " + rule.String() + advice(lost, rule.String())
			case !asks && !meant.IsZero():
				f.Advice = string(t) + " reaches it directly" + advice(lost, meant.String())
			}
			all = append(all, f)
		}
	}
	return all
}

// show is the text of a proxy without its password.
func show(text string) string {
	if text == "" {
		return ""
	}
	if a, err := ParseAddress(text); err == nil {
		return a.String()
	}
	return hidden(text)
}

// advice is what a loss about the item recommends.
func advice(lost []Loss, item string) string {
	for _, l := range lost {
		if l.Item == item && l.Instead != "" {
			return ": " + l.Instead
		}
	}
	return ""
}
