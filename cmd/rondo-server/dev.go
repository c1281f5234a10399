package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/local"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/spf13/cobra"
)

// defaultListen is where dev listens unless told otherwise. When another
// program has it, dev takes any free port and says so.
const defaultListen = "127.0.0.1:7070"

// devFlags are the flags of dev.
type devFlags struct {
	repo, data, listen, orbs string
	json, autoCancel         bool
	jobs                     worker.Docker
}

func devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Build every commit of a git repository on this machine",
		Long: `Dev starts a whole server for one git repository on this machine: it runs a
pipeline for the commit at HEAD, and then for every new commit on any branch
and every new tag. Jobs run as processes of this machine, and images named in
the configuration are not used, unless --docker says so.

It needs nothing but git. Its state is in the data folder: stop it with Ctrl-C
and start it again, and it goes on where it was. Jobs that run at that moment
are stopped and run again from their first step.`,
		Example: `  rondo-server dev
  rondo-server dev --repo ~/src/shop --listen 127.0.0.1:9000
  rondo-server dev --json | jq -c 'select(.kind == "workflow.ended")'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("dev takes no arguments, got %q; name a repository with --repo", args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return dev(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.repo, "repo", "", "the git repository to build (default: the one this folder is in; else the example project)")
	flags.StringVar(&f.data, "data", "", "the data folder (default: ~/.local/share/rondo/<name of the repository>-<hash>)")
	flags.StringVar(&f.listen, "listen", defaultListen, "address of the page and the API; port 0 is any free one")
	flags.StringVar(&f.orbs, "orbs", "", "folder with the orbs that configurations import, as namespace__name@1.2.3.yml")
	flags.BoolVar(&f.autoCancel, "auto-cancel", false, "a new commit on a branch other than the default one cancels the older pipelines there")
	f.jobs.AddFlags(flags)
	flags.BoolVar(&f.json, "json", false, "print JSON: first {\"url\",\"token\"}, then a line for each event")
	return cmd
}

// openRepo finds the repository to build, or makes the example project.
func openRepo(ctx context.Context, f devFlags) (*local.Repo, error) {
	if f.repo != "" {
		return local.Open(ctx, f.repo)
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	repo, err := local.Open(ctx, here)
	if err == nil || !errors.Is(err, ci.ErrNotFound) {
		return repo, err
	}
	data := f.data
	if data == "" {
		if data, err = datadir.Default("example"); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(data, "example")
	if err := makeExample(ctx, dir); err != nil {
		return nil, err
	}
	return local.Open(ctx, dir)
}

// listen opens the address. The default one gives way to a free port when it
// is taken; one that was asked for does not.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if address == defaultListen {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return nil, fmt.Errorf("listen on %s: another program uses that port; choose one with --listen (port 0 takes any free one)", address)
}

// serve answers requests until ctx ends, then gives those under way a moment.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx }, // ends the streams too
	}
	stopped := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			_ = s.Close()
		}
	})
	defer stopped()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// printJSON prints a value as one line.
func printJSON(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }
