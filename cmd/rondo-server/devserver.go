package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
)

// devServer is a whole server for one repository on this machine.
type devServer struct {
	installation
	repo    *local.Repo
	project ci.Project
	head    ci.Trigger        // at the start
	refs    map[string]string // at the start
}

// dev runs the server until ctx ends.
func dev(ctx context.Context, f devFlags) error {
	keepPrivate()
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
	s := &devServer{repo: repo, project: repo.Project()}
	s.folder, s.code = folder, oneRepo{repo}
	if f.orbs != "" { // a new list each time: orbs may be added while the server runs
		s.orbs = func() config.Orbs { return orb.Folder(f.orbs) }
	}
	s.project.AutoCancel, s.project.Followed = f.autoCancel, true
	s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	defer s.close()
	if err := s.open(ctx, f); err != nil {
		return err
	}
	after, err := s.db.LastEvent(ctx)
	if err != nil {
		return err
	}
	show := newConsole(os.Stdout, f.json, s)
	show.started()
	return s.run(ctx, s.watch, func(ctx context.Context) error { return show.follow(ctx, after) }, show.stopping)
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
	if err := s.installation.open(ctx); err != nil {
		return err
	}
	if err := s.register(ctx); err != nil {
		return err
	}
	return s.look(ctx)
}

// register writes the project, under the identity that its slug has already.
func (s *devServer) register(ctx context.Context) error {
	autoCancel := s.project.AutoCancel
	known, err := s.db.ProjectBySlug(ctx, s.project.Slug)
	switch {
	case err == nil:
		s.project.ID, s.project.Settings = known.ID, known.Settings
		s.project.AutoCancel = autoCancel || known.AutoCancel
	case !errors.Is(err, ci.ErrNotFound):
		return err
	}
	return s.db.PutProject(ctx, s.project)
}

// oneRepo is a code host with one repository.
type oneRepo struct{ repo *local.Repo }

func (r oneRepo) File(ctx context.Context, _ ci.Project, revision, path string) ([]byte, error) {
	return r.repo.File(ctx, revision, path)
}

func (r oneRepo) Resolve(ctx context.Context, p ci.Project, branch, tag string) (ci.Trigger, error) {
	switch {
	case tag != "":
		return r.repo.Trigger(ctx, "refs/tags/"+tag)
	case branch == "":
		branch = p.DefaultBranch
	}
	return r.repo.Trigger(ctx, "refs/heads/"+branch)
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
