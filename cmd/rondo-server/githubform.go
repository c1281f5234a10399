package main

import (
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/ci/web"
)

// A githubForm has nothing to fill in: it tries what the file of settings says.
type githubForm struct{ host *github.Host }

func (githubForm) section() web.SettingsSection {
	return web.SettingsSection{
		ID: formGitHub, Title: "GitHub", Try: "Test GitHub authentication",
		Help: "It is set in the file of settings (github). The test changes nothing there.",
	}
}

func (githubForm) fill(context.Context, *web.SettingsSection) error { return nil }

func (githubForm) save(context.Context, map[string]string, ci.Act) error {
	return fmt.Errorf("GitHub is set in the file of settings: %w", ci.ErrConflict)
}

// try says whether GitHub answers, is trusted and takes the token, and what else
// is not as it should be.
func (f githubForm) try(ctx context.Context, _ map[string]string) ([]string, error) {
	said := []string{"Success: GitHub answers, and takes the token."}
	for _, x := range f.host.Check(ctx) {
		if x.OK {
			continue
		}
		if x.Subject == "reachable" || x.Subject == "token" {
			said[0] = "Failure: GitHub cannot be used."
		}
		said = append(said, x.Text)
	}
	return said, nil
}
