package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/github"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
	"github.com/rondo-ci/rondo/ci/api/pusher"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/ci/insights"
	"github.com/rondo-ci/rondo/ci/schedule"
	"github.com/rondo-ci/rondo/ci/secret"
	"github.com/rondo-ci/rondo/ci/web"
	"github.com/rondo-ci/rondo/ci/webhook"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/storage/secrets"
	"github.com/rondo-ci/rondo/storage/secrets/vault"
	"github.com/rondo-ci/rondo/vmservice"
)

// chapters are the rooms beyond pipelines: what jobs may know, what starts by
// the clock, who is told, what became of it all.
type chapters struct {
	keeper  *secrets.Keeper
	keyring *keyring
	safe    *secret.Safe
	tokens  *auth.Tokens
	clock   *schedule.Clock
	courier *webhook.Courier
	live    *pusher.Server
	memory  *insights.Insights
	book    *audit.Book
}

// openChapters opens what jobs ask for: the rest needs a running server, see
// startChapters.
func (in *installation) openChapters(ctx context.Context) error {
	var err error
	if in.keeper, err = in.openKeeper(ctx); err != nil {
		return err
	}
	in.keyring = newKeyring(in.keeper, in.db, in.log)
	in.safe = secret.New(in.db, in.keeper, secret.Config{
		Values:   secretValues,
		Project:  in.db.Project,
		Admin:    in.orgAdmin,
		Groups:   in.groups,
		May:      in.mayOrg,
		CodeHost: in.codeHostKey,
		Note:     in.book.Draft,
	})
	in.tokens = auth.NewTokens(in.book.Docs(in.db))
	var providers []auth.Provider
	if in.ldap != nil {
		directory, err := in.ldap.directory(ldap.Config{Log: in.log, Roots: in.reach.roots.Pool})
		if err != nil {
			return err
		}
		in.parts, in.directory = append(in.parts, directory.Run), directory
		providers = append(providers, directory)
	}
	if in.people, err = in.openPeople(ctx, in.auth, in.githubHost, providers...); err != nil {
		return err
	}
	in.compiler.registry = orb.New(in.book.Docs(in.db), orb.Config{})
	return nil
}

// startChapters makes the rooms that follow what the server does.
func (in *installation) startChapters() {
	in.clock = schedule.New(in.book.Docs(in.db), in.db, in.trigger, schedule.Config{
		Log: in.log, Follow: in.engine.Server.Follow, Admits: config.Admits, May: in.may,
	})
	in.courier = webhook.New(in.book.Docs(in.db), in.db, webhook.Config{
		Log: in.log, Follow: in.engine.Server.Follow, Keeper: in.keeper, Allow: in.webhookNets, Proxy: in.reach.proxies.Func(), Wrap: in.reach.trusting,
		WorkflowURL: func(id ci.WorkflowID) string { return in.url + web.WorkflowPath(id) },
	})
	in.memory = insights.New(in.db, in.db, insights.Config{Log: in.log})
	live := pusher.Config{Log: in.log, Auth: in.whoLive, May: in.may, Secret: in.pushKey, Origins: []string{hostOf(in.url)}}
	if in.people != nil {
		live.Tickets = pusher.Tickets{Name: in.people.gate.Ticket, Still: in.people.gate.Still}
	}
	in.live = pusher.New(in.db, in.logs, live)
	in.parts = append(in.parts, in.keyring.Run, in.clock.Run, in.courier.Run, func(ctx context.Context) error {
		return in.memory.Run(ctx, in.engine.Server.Follow)
	}, func(ctx context.Context) error {
		return in.live.Run(ctx, in.engine.Server.Follow)
	})
}

// hostOf returns the host and port of an address.
func hostOf(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	return rest
}

// secretValues are the pipeline values that the expressions of contexts may
// ask for.
func secretValues(n ci.Need) map[string]any {
	values := map[string]any{}
	for name, v := range engine.Values(n.Project, n.Pipeline) {
		values["pipeline."+name] = v
	}
	return values
}

// kinds are all kinds of documents with a sealed part.
func kinds() []string {
	return slices.Concat(secret.Kinds(), webhook.Kinds(), github.Kinds(), vmservice.Kinds(), []string{kindSettings})
}

// openKeeper opens what seals secrets. The keyset is made at the first start
// only: a new one would open nothing that was sealed before.
func (in *installation) openKeeper(ctx context.Context) (*secrets.Keeper, error) {
	id, err := in.folder.Secret("installation", "")
	if err != nil {
		return nil, err
	}
	var primary secrets.Backend
	var others []secrets.Backend
	if v := in.sealing.Vault; v != nil {
		transit, err := v.open(in.reach, in.log)
		if err != nil {
			return nil, fmt.Errorf("secrets.vault: %w", err)
		}
		in.parts = append(in.parts, transit.Run)
		primary = transit
	}
	local := in.sealing.Use == "local" || primary == nil
	root, given := in.sealing.root()
	if !given && local {
		file, err := defaultKey()
		if err != nil {
			return nil, err
		}
		root, given = secrets.KeyFile(file), true
	}
	if given {
		keyset, err := in.openKeyset(ctx, root, local)
		switch {
		case err != nil:
			return nil, err
		case local && primary != nil:
			primary, others = keyset, append(others, primary)
		case local:
			primary = keyset
		case keyset != nil:
			others = append(others, keyset)
		}
	}
	return secrets.New(id, primary, secrets.Config{Kinds: kinds(), Others: others, Log: in.log})
}

// open returns the backend of the settings. It connects to nothing.
func (v *vaultSettings) open(r *reach, log *slog.Logger) (*vault.Transit, error) {
	return vault.New(v.key(), vault.Config{
		Address: v.Address, CACert: v.CA, Mount: v.Mount, Token: v.Token.read, Log: log, Wrap: r.wrap,
	})
}

// openKeyset opens the local keyset, making it if need be and nothing was
// sealed yet. It is nil when it does not exist and is not wanted.
func (in *installation) openKeyset(ctx context.Context, root secrets.Root, wanted bool) (*secrets.Keyset, error) {
	file := in.folder.Join(keysetFile)
	cfg := secrets.KeysetConfig{Data: in.folder.Path, Log: in.log}
	keyset, err := secrets.OpenKeyset(file, root, cfg)
	if !errors.Is(err, os.ErrNotExist) {
		return keyset, err
	}
	if !wanted {
		return nil, nil
	}
	for _, kind := range kinds() {
		for d, err := range in.db.Docs(ctx, ci.DocQuery{Kind: kind, AllScopes: true}) {
			if err != nil {
				return nil, err
			}
			if backend, _, err := secrets.SealedBy(d.Sealed); err == nil && backend == "local" {
				return nil, fmt.Errorf("%s is missing, and there are secrets that only its keys open: restore it from a backup", file)
			}
		}
	}
	return secrets.CreateKeyset(file, root, cfg)
}

// defaultKey returns the file of the root key of a server that was told of
// none, made at first use: in the user's folder for settings, which is not
// where the data is.
func defaultKey() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("choose a file for the key of stored secrets: %w", err)
	}
	dir = filepath.Join(dir, "rondo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the key of stored secrets: %w", err)
	}
	file := filepath.Join(dir, "secrets.key")
	return file, makeKeyFile(file)
}

// makeKeyFile makes a root key where there is none.
func makeKeyFile(file string) error {
	if err := secrets.NewKeyFile(file); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the key of stored secrets: %w", err)
	}
	return nil
}

// keysetFile is where the keyset lies in the data folder.
const keysetFile = "keyset.json"

// codeHostKey tells the code host of a project about a checkout key.
func (in *installation) codeHostKey(ctx context.Context, id ci.ProjectID, k ci.Key, accept bool, by ci.Actor) error {
	p, err := in.db.Project(ctx, id)
	if err != nil {
		return err
	}
	return in.code.Key(ctx, p, k, accept)
}

// compileLimit is how many configurations are compiled at once for people to
// see, more than one of them may ask for, and compileTime how long one may take
// (A037).
const (
	compileLimit = 16
	compileTime  = 5 * time.Second
)

// compileFor compiles a configuration that is not committed.
func (in *installation) compileFor(caller context.Context, r api.CompileRequest) (string, error) {
	ctx, cancel := context.WithTimeout(caller, compileTime)
	defer cancel()
	select {
	case in.compiling <- struct{}{}:
		defer func() { <-in.compiling }()
	case <-ctx.Done():
		return "", fmt.Errorf("compile: the server is busy with other configurations, try again: %w", ci.ErrConflict)
	}
	values := map[string]any{}
	for name, v := range r.Values {
		if rest, ok := strings.CutPrefix(name, "pipeline."); ok {
			values[rest] = v
		}
	}
	plan, err := config.Compile(ctx, []byte(r.Source), config.Options{
		Parameters: r.Parameters, Values: values, Orbs: in.orbsFor(r.Org), Cache: &in.compiler.cache,
	})
	if errors.Is(err, context.DeadlineExceeded) && caller.Err() == nil {
		err = fmt.Errorf("this takes more than %s to compile; make it smaller: %w", compileTime, ci.ErrInvalid)
	}
	return plan.Expanded, err
}

// compileOrb checks the source of an orb.
func (in *installation) compileOrb(ctx context.Context, source, org string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, compileTime)
	defer cancel()
	return config.ProcessOrb(ctx, []byte(source), config.Options{Orbs: in.orbsFor(org)})
}

// orgs lists the organisations that the actor belongs to.
func (in *installation) orgs(ctx context.Context, by ci.Actor) ([]string, error) {
	if in.people != nil {
		return in.people.gate.Orgs(ctx, by)
	}
	return in.allOrgs(ctx)
}

// allOrgs lists the organisations that have a project here.
func (in *installation) allOrgs(ctx context.Context) ([]string, error) {
	var all []string
	for p, err := range in.db.Projects(ctx) {
		if err != nil {
			return nil, err
		}
		if slug := p.OrgSlug(); !slices.Contains(all, slug) {
			all = append(all, slug)
		}
	}
	slices.Sort(all)
	return all, nil
}

// apiChapters are the chapters as the API asks for them.
func (in *installation) apiChapters() api.Chapters {
	return api.Chapters{
		Contexts: in.safe, Variables: in.safe, Keys: in.safe, Schedules: in.clock, Webhooks: in.courier, Tokens: in.tokens,
		Keyring: guardedKeyring{bookedKeyring{in.keyring, in}, in}, Users: in.apiUsers(), MayOrg: in.mayOrg, MaySettings: in.maySettings(),
		Insights: in.memory, Docs: in.book.Docs(in.db), Audit: in.book, PutProject: in.putProject, Follow: in.follow, Orgs: in.orgs,
		Compile: in.compileFor, Operations: in.desk, Services: in.services,
		Continue: func(ctx context.Context, key, source string, parameters map[string]any) error {
			return in.engine.Server.Continue(ctx, key, ci.Continuation{Source: source, Parameters: parameters})
		},
	}
}
