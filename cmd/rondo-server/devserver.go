package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/cmd/internal/workshop"
)

// devServer is a whole server for one repository on this machine.
type devServer struct {
	installation
	repo    *local.Repo
	project *localProject
}

// dev runs the server until ctx ends.
func dev(ctx context.Context, f devFlags) error {
	workshop.KeepPrivate()
	if err := f.jobs.Check(); err != nil {
		return usageError{err}
	}
	if info, err := os.Stat(f.orbs); f.orbs != "" && (err != nil || !info.IsDir()) {
		return usageError{fmt.Errorf("--orbs %s: no such folder", f.orbs)}
	}
	repo, err := openRepo(ctx, f)
	if err != nil {
		return err
	}
	path := f.data
	if path == "" {
		if path, err = datadir.Default(repo.Dir()); err != nil {
			return err
		}
	}
	folder, err := datadir.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	s := &devServer{repo: repo}
	s.folder = folder
	s.orbs, s.jobs = f.orbs, f.jobs
	s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	defer s.close()
	if s.reach, err = openReach(nil, nil, s.log); err != nil {
		return err
	}
	s.parts = append(s.parts, s.reach.roots.Run)
	if err := s.open(ctx, f); err != nil {
		return err
	}
	after, err := s.db.LastEvent(ctx)
	if err != nil {
		return err
	}
	show := newConsole(os.Stdout, f.json, &s.installation)
	show.started(s.welcome(), map[string]string{"url": s.url, "token": s.access.token})
	s.parts = append(s.parts, func(ctx context.Context) error { return show.follow(ctx, after) })
	return s.run(ctx, s.project.watch, show.stopping)
}

// open opens everything that can fail, before anything runs.
func (s *devServer) open(ctx context.Context, f devFlags) (err error) {
	token, err := s.folder.Secret("token", "rondo_")
	if err != nil {
		return err
	}
	if s.page, err = listen(f.listen); err != nil {
		return err
	}
	s.url, s.access = pageURL(s.page.Addr()), newAccess(token, s.page.Addr())
	if s.access.local { // whoever asks is on this machine, and so are the receivers that they try
		s.webhookNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	code := folders{}
	s.code = code
	if err := s.installation.open(ctx); err != nil {
		return err
	}
	s.project, err = newLocalProject(ctx, &s.installation, s.repo, s.folder.Join("refs.json"), ci.Settings{AutoCancel: f.autoCancel})
	if err == nil {
		code[s.project.project.ID] = s.repo
	}
	return err
}

// welcome says where the server is.
func (s *devServer) welcome() string {
	page := s.url
	if !s.access.local {
		page += "/login?token=" + s.access.token
	}
	return fmt.Sprintf("Rondo builds %s\n\n  page   %s\n  token  %s\n  data   %s\n\nCommit something, and watch. Ctrl-C stops.\n",
		s.repo.Dir(), page, s.access.token, s.folder.Path)
}

// pageURL is the address of the page that listens there, for this machine
// where it listens on every address.
func pageURL(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://localhost:%d", tcp.Port)
	}
	return "http://" + a.String()
}
