package github

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Finding is what [Host.Check] found out about one thing.
type Finding struct {
	Subject string // "reachable", "clock", "token", "scopes", "limit", "secret", "address"
	OK      bool
	Text    string // one sentence: what is, and what to do about it
}

// Check asks the code host what an operator wants to know before the first
// build: is it reachable and its certificate good, is the token valid, may it do
// what it has to, can webhooks arrive. It changes nothing.
func (h *Host) Check(ctx context.Context) []Finding {
	var all []Finding
	add := func(subject string, ok bool, format string, args ...any) {
		all = append(all, Finding{subject, ok, fmt.Sprintf(format, args...)})
	}
	h.checkAPI(ctx, add)
	secrets, err := h.secrets(ctx, "")
	switch {
	case err != nil:
		add("secret", false, "The webhook secret could not be read: %v.", err)
	case len(secrets) == 0:
		add("secret", false, "There is no webhook secret of at least %d bytes; no webhook will be accepted. Make one with: openssl rand -hex 32.", MinSecret)
	default:
		add("secret", true, "Webhooks are verified with %d secret(s).", len(secrets))
	}
	u, err := url.Parse(h.cfg.Server)
	switch {
	case err != nil || h.cfg.Server == "":
		add("address", false, "The server's own address is not set, so nothing can be followed.")
	case u.Scheme != "https":
		add("address", false, "Webhooks go to %s%s, in the clear: use https.", h.cfg.Server, HookPath)
	case u.Hostname() == "localhost" || strings.HasPrefix(u.Hostname(), "127."):
		add("address", false, "Webhooks go to %s%s, which leads to the code host itself: use a name that it can reach.", h.cfg.Server, HookPath)
	default:
		add("address", true, "Webhooks go to %s%s.", h.cfg.Server, HookPath)
	}
	return all
}

// checkAPI asks who the token belongs to; the answer tells the rest.
func (h *Host) checkAPI(ctx context.Context, add func(subject string, ok bool, format string, args ...any)) {
	user, resp, err := h.api.Users.Get(ctx, "")
	if resp == nil || resp.Response == nil {
		add("reachable", false, "%s does not answer: %v.", h.api.BaseURL(), untrusted(err))
		return
	}
	add("reachable", true, "%s answers.", h.api.BaseURL())
	if date, err := time.Parse(time.RFC1123, resp.Header.Get("Date")); err == nil {
		off := time.Since(date).Round(time.Second).Abs()
		add("clock", off < time.Minute, "Its clock and ours differ by %s.", off)
	}
	if err != nil {
		if err = refusal(err); isDenied(err) {
			add("token", false, "The token is not valid: %v. Make a new one with the scopes repo and admin:repo_hook.", err)
		} else {
			add("token", false, "The token could not be tried: %v.", err)
		}
		return
	}
	add("token", true, "The token is that of %s.", user.GetLogin())
	if resp.Rate.Limit > 0 {
		add("limit", resp.Rate.Remaining > resp.Rate.Limit/10, "%d of %d calls are left until %s.", resp.Rate.Remaining, resp.Rate.Limit, resp.Rate.Reset.UTC().Format(time.RFC3339))
	}
	scopes, classic := resp.Header["X-Oauth-Scopes"]
	if !classic {
		add("scopes", true, "The token is a fine-grained one and does not say what it may do. It needs, for each repository: contents and pull requests (read), commit statuses, webhooks and administration (write).")
		return
	}
	lacks := missingScopes(strings.Join(scopes, ","))
	if len(lacks) > 0 {
		add("scopes", false, "The token lacks the scopes %s.", strings.Join(lacks, ", "))
		return
	}
	add("scopes", true, "The token may read code, set statuses, and manage webhooks and deploy keys.")
}

// missingScopes returns what a classic token needs beyond the scopes listed.
func missingScopes(list string) []string {
	has := map[string]bool{}
	for s := range strings.SplitSeq(list, ",") {
		has[strings.TrimSpace(s)] = true
	}
	var lacks []string
	if !has["repo"] {
		lacks = append(lacks, "repo")
	}
	if !has["admin:repo_hook"] && !has["repo"] { // repo includes the hooks of repositories
		lacks = append(lacks, "admin:repo_hook")
	}
	return lacks
}

// Err joins the findings that are not good into one error, nil if all are.
func Err(findings []Finding) error {
	var bad []string
	for _, f := range findings {
		if !f.OK {
			bad = append(bad, f.Text)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("code host: %s: %w", strings.Join(bad, " "), ci.ErrInvalid)
}
