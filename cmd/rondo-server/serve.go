package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/cmd/internal/relay"
	"github.com/rondo-ci/rondo/cmd/internal/workshop"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// serveHelp teaches the file of settings, each chapter in its own words.
const serveHelp = `Serve runs the server that a team's code host and browsers talk to. What it is
told stands in a file of settings:

  url: https://ci.example.com        # how people and the code host reach it
  listen: 0.0.0.0:8080               # pages and API; put a TLS proxy before it
  agents: 127.0.0.1:8585             # the door of agents
  proxies: [10.0.0.0/8]              # where that proxy is
  data: /var/lib/rondo               # all state
  database: env:RONDO_DATABASE       # postgres://user:password@host/db; without, SQLite in data
  lease: 5m30s                       # how long an agent may be silent before its job is given up
  queue: {org_limit: 100}            # tasks of one organisation at once; leave out for no limit
  log: json                          # or text

  github:
    host: https://github.example.com # leave out for github.com
    token: file:/etc/rondo/github-token
    webhook_secret: env:RONDO_WEBHOOK_SECRET
    status_prefix: ci/circleci       # of commit statuses
    ca: /etc/rondo/ca.pem            # certificates that github.host is checked with

  folders: [/srv/git/shop.git]       # git folders of this machine, built too
  orbs: /etc/rondo/orbs              # orbs besides those published to the server

  secrets:                           # what encrypts contexts and variables
    passphrase: file:/etc/rondo/passphrase
    # or key: /etc/rondo/secrets.key # 32 bytes, outside of data
    # or vault: {address: https://vault:8200, token: "env:VAULT_TOKEN", key: rondo}
    # use: vault                     # with both: which one seals; the other follows

` + storageHelp + `
  webhooks:
    allow: [10.0.0.0/8]              # private networks that webhooks may reach
  executor: # jobs that name images run in containers; the server has to be root
    docker: {host: "unix:///var/run/docker.sock", pull: always, deny: [10.0.0.0/8]}
` + nomadHelp + `

  audit:                             # where who did what is sent, besides files/
    sinks:
      - {name: siem, syslog: "logs.example.com:6514", ca: /etc/rondo/ca.pem}
      - {name: hook, webhook: "https://hooks.example.com", secret: "env:AUDIT_SECRET"}
      - {name: copy, folder: /mnt/audit}
` + networkHelp + `
` + portsHelp + machinesHelp + metricsHelp + `
  auth:                              # who may log in; without, the token is the key
    local: true                      # administrators with passwords of this server
    first_admin: link                # printed at the start; or login: who comes first
    github:                          # an OAuth app with the callback URL/auth/github
      client_id: Iv1.0123456789
      client_secret: file:/etc/rondo/github-oauth
      orgs: [acme]                   # whose members may log in; leave out for all
    recheck: 15m                     # how often it is asked whether people are still there
    grace: 4h                        # how long they stay when nobody answers that
  ldap: {type: openldap, hostname: ldap.example.com} # see rondo-server ldap --help

  cluster:                           # two servers on one Postgres: one conducts, the
    advertise: http://10.0.0.5:8586  # other passes on to it, here, and takes over
    key: file:/etc/rondo/cluster-key # the same on both, as are the secrets
    shared: /mnt/rondo               # a folder that both have: files, logs, keys

Secrets never stand in the file: env:NAME reads the environment, file:PATH a
file. The token for API and pages is in the file token of the data folder.

SIGTERM stops the server in order: jobs that run are stopped, and run again
after the next start.`

func serveCommand() *cobra.Command {
	var file string
	var check, online, asJSON, bootstrap bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server of a team, for many repositories",
		Long:  serveHelp,
		Example: `  rondo-server serve --config /etc/rondo/rondo.yml
  rondo-server serve --config rondo.yml --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(file)
			if err != nil {
				return usageError{err}
			}
			if check {
				return checkSettings(cmd, file, s, online)
			}
			return serveTeam(cmd.Context(), s, asJSON, bootstrap)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().BoolVar(&check, "check", false, "only check the settings")
	cmd.Flags().BoolVar(&online, "online", false, "with --check: also try the bucket of storage.s3, and address, certificates and rights at nomad")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output: first the addresses, then a line for each event")
	cmd.Flags().BoolVar(&bootstrap, "bootstrap", false, "print a link that makes an administrator, although there is one")
	return cmd
}

// teamServer is the server of a team.
type teamServer struct {
	installation
	settings  settings
	agentDoor net.Listener
	further   []net.Listener
	folders   []*localProject
}

// serveTeam runs the server until ctx ends.
func serveTeam(ctx context.Context, set settings, asJSON, bootstrap bool) error {
	workshop.KeepPrivate()
	folder, err := datadir.Open(set.Data)
	if err != nil {
		return err
	}
	defer folder.Close()
	s := &teamServer{settings: set}
	s.folder, s.url, s.log = folder, set.URL, newLog(set.Log, io.MultiWriter(os.Stderr, &s.recent))
	if err := s.take(set); err != nil {
		return err
	}
	defer s.shut()
	if s.page, err = listen(set.Listen); err != nil {
		return err
	}
	if s.agentDoor, err = listen(set.Agents); err != nil {
		return err
	}
	if err := s.secure(set); err != nil {
		return err
	}
	s.doorsOpen = []net.Listener{s.agentDoor}
	if set.Cluster != nil {
		ended, err := s.join(ctx, *set.Cluster, asJSON)
		if err != nil || ctx.Err() != nil {
			return err
		}
		defer ended()
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := errors.Join(s.invite(ctx, bootstrap), s.guide(ctx)); err != nil {
		return err
	}
	s.log.Info("ready", "url", s.url, "listen", s.page.Addr().String(), "agents", s.agentDoor.Addr().String(), "data", folder.Path)
	if asJSON {
		after, err := s.db.LastEvent(ctx)
		if err != nil {
			return err
		}
		show := newConsole(os.Stdout, true, &s.installation)
		if s.duty == nil {
			show.started("", s.addresses())
		}
		s.parts = append(s.parts, func(ctx context.Context) error { return show.follow(ctx, after) })
	}
	s.parts = append(s.parts, func(ctx context.Context) error {
		return s.answer(ctx, s.agentDoor, relay.Agents, s.doorHandler())
	})
	if set.file != "" {
		s.parts = append(s.parts, func(ctx context.Context) error {
			return atHangup(ctx, func() {
				s.reach.roots.Look()
				s.reloaded(s.figures.reload(ctx, set.reread))
			})
		})
	}
	return s.run(ctx, s.watch, func() {
		if s.nomad != nil {
			s.log.Info("stopping: jobs that run go on, and report to the next server")
			return
		}
		s.log.Info("stopping: jobs that run are stopped and run again after the next start")
	})
}

// take takes over what the settings say of the rooms.
func (s *teamServer) take(set settings) (err error) {
	s.rate.From = clientAddress(set.Proxies)
	s.auth, s.ldap, s.githubHost = set.Auth, set.LDAP, ""
	if s.ldap != nil && s.auth == nil { // a directory alone is a way to log in
		s.auth = &authSettings{}
	}
	if set.GitHub != nil {
		s.githubHost = set.GitHub.Host
	}
	s.metering = &set.Metrics
	if s.database, err = set.Database.read(); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	s.orbs, s.sealing, s.webhookNets, s.auditing = set.Orbs, set.Secrets, set.Webhooks.Allow, set.Audit
	s.orgLimit = set.Queue.OrgLimit
	s.storing, s.lease, s.machining = set.Storage, set.Lease, &set.Machines
	s.jobs, s.nomad = set.Executor.docker(), set.Nomad
	if s.reach, err = set.reach(s.log); err != nil {
		return err
	}
	s.parts = append(s.parts, s.reach.roots.Run, func(ctx context.Context) error {
		s.reach.tryProxy(ctx, s.log, set.beyond())
		return nil
	})
	return nil
}

// addresses are where the server listens, for its first line of JSON.
func (s *teamServer) addresses() map[string]string {
	return map[string]string{"url": s.scheme(true) + s.page.Addr().String(), "agents": s.scheme(false) + s.agentDoor.Addr().String()}
}

func newLog(format string, to io.Writer) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(to, nil))
	}
	return slog.New(slog.NewTextHandler(to, nil))
}

// open opens everything that can fail, before anything runs.
func (s *teamServer) open(ctx context.Context) error {
	token, err := s.folder.Secret("token", "rondo_")
	if err != nil {
		return err
	}
	s.access = access{token: token, secure: strings.HasPrefix(s.url, "https://")} // a proxy stands before it: no address is trusted
	code := &hosts{folders: folders{}}
	s.code = code
	if err := s.installation.open(ctx); err != nil {
		return err
	}
	if err := s.openDoors(s.settings.Ports); err != nil {
		return err
	}
	if set := s.settings.GitHub; set != nil {
		if code.github, err = s.openGitHub(*set); err != nil {
			return err
		}
		if s.doors == nil {
			s.doors = map[string]http.Handler{}
		}
		s.doors["POST "+github.HookPath] = s.refreshing(code.github.Handler())
	}
	for _, path := range s.settings.Folders {
		repo, err := local.Open(ctx, path)
		if err != nil {
			return fmt.Errorf("folders: %w", err)
		}
		name := repo.Project().ID
		l, err := newLocalProject(ctx, &s.installation, repo, s.folder.Join("refs-"+filepath.Base(string(name))+".json"), ci.Settings{})
		if err != nil {
			return fmt.Errorf("folders: %s: %w", path, err)
		}
		code.folders[l.project.ID] = repo
		s.folders = append(s.folders, l)
	}
	return nil
}

// shut closes what was opened.
func (s *teamServer) shut() {
	for _, l := range append(s.further, s.agentDoor) {
		if l != nil {
			_ = l.Close()
		}
	}
	s.close()
}

// atHangup does something at each SIGHUP, until ctx ends.
func atHangup(ctx context.Context, do func()) error {
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again:
			do()
		}
	}
}

// watch waits for what is new in the folders, until ctx ends.
func (s *teamServer) watch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range s.folders {
		g.Go(func() error { return l.watch(ctx) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
