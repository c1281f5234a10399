package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler/autoscale/asg"
	"github.com/spf13/cobra"
)

// asgCommand is what a machine of an Auto Scaling group runs.
func asgCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "asg", Short: "End machines of an Auto Scaling group without killing builds"}
	cmd.AddCommand(lifecycleCommand())
	return cmd
}

func lifecycleCommand() *cobra.Command {
	var cfg asg.LifecycleConfig
	var cloud asg.Config
	cmd := &cobra.Command{
		Use: "lifecycle", Short: "Wait until Amazon means to end this machine, drain it, and let Amazon go on when nothing runs", Args: cobra.NoArgs,
		Long: `Lifecycle runs as a service on every machine of an Auto Scaling group
('rondo nomad client-config --out DIR' writes its unit). When the group shrinks:

  1. The group has a lifecycle hook for the end of machines, so the machine
     waits (Terminating:Wait). The metadata of the machine says so (IMDSv2).
  2. Its node is drained: it takes nothing new and finishes what it has.
  3. While something runs, a heartbeat at least every third of what the hook
     allows keeps Amazon waiting: at most 48 hours, or 100 times the hook's
     timeout, whichever is less.
  4. When its allocations are 0 the hook is completed, and Amazon ends it.

Whatever fails on the way is tried again; a step is noted in --state before the
next, so the service may be restarted at any point. When a spot instance is
taken back it drains too, in the two minutes that Amazon gives.

The group needs a hook, once:
  aws autoscaling put-lifecycle-hook --auto-scaling-group-name GROUP \
    --lifecycle-hook-name rondo-drain --heartbeat-timeout 3600 --default-result CONTINUE \
    --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING
and the machine's role may call autoscaling:DescribeAutoScalingInstances,
DescribeLifecycleHooks, RecordLifecycleActionHeartbeat, CompleteLifecycleAction.

The token must be of an operator. ` + remoteHelp,
		Example: `  rondo asg lifecycle --state /var/lib/rondo-lifecycle/state
  rondo asg lifecycle --now --instance i-0123456789abcdef0 --node client-7`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := newRemote(cmd.Context())
			if err != nil {
				return err
			}
			if cfg.Node == "" {
				if cfg.Node = os.Getenv("RONDO_NODE"); cfg.Node == "" {
					cfg.Node, _ = os.Hostname()
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if cloud.HTTP, err = reach(time.Minute); err != nil {
				return err
			}
			c, err := asg.Open(ctx, cloud)
			if err != nil {
				return err
			}
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			l, err := asg.NewLifecycle(c, drainer{r}, cfg)
			if err != nil {
				return codeError{exitUsage, err}
			}
			if err := l.Run(ctx); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Node %s is drained; the machine may end.\n", cfg.Node)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Node, "node", "", "name or identity of this machine's node; else RONDO_NODE, else the host's name")
	f.StringVar(&cfg.State, "state", "", "file in which it notes how far it is, so that it can be restarted")
	f.BoolVar(&cfg.Now, "now", false, "do not wait for Amazon's word: drain now")
	f.StringVar(&cfg.Instance, "instance", "", "identity of the instance; else the machine is asked")
	f.StringVar(&cfg.Group, "group", "", "Auto Scaling group; else Amazon is asked")
	f.StringVar(&cfg.Hook, "hook", "", "lifecycle hook; else the group's hook for the end of machines")
	f.DurationVar(&cfg.Poll, "poll", 0, "time between two looks; 0 is 5s")
	f.StringVar(&cloud.Region, "region", "", "of the group; else AWS_REGION, else the machine is asked")
	f.StringVar(&cloud.Endpoint, "endpoint", "", "address of the Auto Scaling API, for a private endpoint")
	return cmd
}

// drainer drains a node by the API of the server.
type drainer struct{ *remote }

// Drain implements asg.Drainer.
func (d drainer) Drain(ctx context.Context, node string) error {
	n, err := d.node(ctx, node)
	if err != nil || n.Drain {
		return err
	}
	return d.call(ctx, http.MethodPost, "/nodes/"+url.PathEscape(n.ID)+"/drain", map[string]any{"on": true}, &n)
}

// Allocations implements asg.Drainer. A node that takes new tasks, because
// somebody ended its drain, does not count as empty.
func (d drainer) Allocations(ctx context.Context, node string) (int, error) {
	n, err := d.node(ctx, node)
	if err == nil && !n.Drain && n.State != "down" {
		return max(n.Tasks, 1), d.call(ctx, http.MethodPost, "/nodes/"+url.PathEscape(n.ID)+"/drain", map[string]any{"on": true}, &n)
	}
	return n.Tasks, err
}

func (d drainer) node(ctx context.Context, name string) (ci.Node, error) {
	var all listed[ci.Node]
	if err := d.call(ctx, http.MethodGet, "/nodes", nil, &all); err != nil {
		return ci.Node{}, err
	}
	short, _, _ := strings.Cut(name, ".")
	for _, n := range all.Items {
		if n.ID == name || n.Name == name || n.Name == short {
			return n, nil
		}
	}
	return ci.Node{}, fmt.Errorf("node %s: %w: the server has %d others; name this one with --node", name, ci.ErrNotFound, len(all.Items))
}
