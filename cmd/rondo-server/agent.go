package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/rondo-ci/rondo/cmd/internal/workshop"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/spf13/cobra"
)

// agentCommand is what the server starts as its agents. It reads one placement
// a line, runs it, and prints "done".
func agentCommand() *cobra.Command {
	var address, dir string
	var jobs worker.Docker
	cmd := &cobra.Command{
		Use: "agent", Hidden: true, Args: cobra.NoArgs,
		Short: "Run tasks that a server hands over on standard input",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAgent(cmd.Context(), address, dir, jobs, os.Stdin, os.Stdout)
		},
	}
	cmd.Flags().StringVar(&address, "door", "", "address of the server's agent door")
	cmd.Flags().StringVar(&dir, "dir", "", "where scratch folders are made")
	jobs.AddFlags(cmd.Flags())
	return cmd
}

func runAgent(ctx context.Context, address, dir string, jobs worker.Docker, in io.Reader, out io.Writer) error {
	base, client, err := door.Dial(address)
	if err != nil {
		return err
	}
	w, err := workshop.Open(dir, jobs, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	defer w.Close()
	lines := bufio.NewReader(in)
	for {
		w.Warm() // the work folder goes as a whole, with what is left in it
		line, err := readLine(ctx, lines)
		if err != nil {
			return nil // the server has gone, or asked to stop
		}
		var p scheduler.Placement
		if err := json.Unmarshal(line, &p); err != nil {
			return fmt.Errorf("read placement: %w", err)
		}
		err = w.Run(ctx, base, p.Token, client, p.Task.ID, p.Epoch)
		if err != nil && !errors.Is(err, ci.ErrConflict) {
			return err
		}
		if _, err := fmt.Fprintln(out, "done"); err != nil {
			return nil
		}
	}
}

// readLine waits for a line or the end of ctx.
func readLine(ctx context.Context, r *bufio.Reader) ([]byte, error) {
	type result struct {
		line []byte
		err  error
	}
	c := make(chan result, 1)
	go func() {
		line, err := r.ReadBytes('\n')
		c <- result{line, err}
	}()
	select {
	case got := <-c:
		return got.line, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
