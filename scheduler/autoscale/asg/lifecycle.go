package asg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"
	"github.com/rondo-ci/rondo/ci"
)

// A Drainer is who knows what runs on a node: the server.
type Drainer interface {
	// Drain lets the node take nothing new and finish what it has. Twice is once.
	Drain(ctx context.Context, node string) error
	// Allocations returns how many tasks it has. A node that is not there is
	// [ci.ErrNotFound].
	Allocations(ctx context.Context, node string) (int, error)
}

// LifecycleConfig says which machine. What is zero is asked for, or its default.
type LifecycleConfig struct {
	Instance string // "" asks the machine
	Group    string // "" asks Amazon
	Hook     string // "" is the group's hook for the end of machines
	Node     string // name of the node; required
	State    string // file in which it remembers how far it is; "" is none
	// Now ends the wait for Amazon's word: the machine is to be drained at once.
	Now bool
	// Poll is the time between two looks; 0 is 5 s.
	Poll time.Duration
	// Missing is how long a node that the server does not know may be so until
	// it counts as empty; 0 is ten minutes.
	Missing time.Duration
	// Purge is called when all is done, to have the cluster forget the node; nil
	// is nothing.
	Purge func(ctx context.Context, node string) error
	Log   *slog.Logger // nil is silent
}

// A Lifecycle is the end of one machine.
type Lifecycle struct {
	cloud *Cloud
	drain Drainer
	cfg   LifecycleConfig
	log   *slog.Logger

	mem     memory
	beat    time.Duration // between heartbeats
	next    time.Time     // of the next
	known   bool          // what the hook is
	missing time.Time     // since when the server does not know the node
}

// A third of the time that the hook allows lies between heartbeats, so that two
// may be lost. Without a hook's word this is the default of Amazon.
const defaultHeartbeat = time.Hour

// NewLifecycle returns one. A node without a name is [ci.ErrInvalid].
func NewLifecycle(c *Cloud, d Drainer, cfg LifecycleConfig) (*Lifecycle, error) {
	if cfg.Node == "" {
		return nil, fmt.Errorf("%w: lifecycle: which node is this machine? give its name", ci.ErrInvalid)
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 5 * time.Second
	}
	if cfg.Missing <= 0 {
		cfg.Missing = 10 * time.Minute
	}
	l := &Lifecycle{cloud: c, drain: d, cfg: cfg, log: cfg.Log, beat: defaultHeartbeat / 3}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l, nil
}

// Run waits until Amazon means to end the machine, drains it, keeps the hook
// alive, and completes it when nothing runs any more. It may be ended and begun
// again at any point: it goes on where it was. It returns nil when the machine
// may end, and otherwise only what no repetition cures, or the context's error.
func (l *Lifecycle) Run(ctx context.Context) error {
	if err := l.identify(ctx); err != nil {
		return err
	}
	if l.mem.Step == "" {
		if err := l.await(ctx); err != nil {
			return err
		}
		if err := l.remember(draining); err != nil {
			return err
		}
	}
	if l.mem.Step == draining || l.mem.Step == drained {
		if err := l.empty(ctx); err != nil {
			return err
		}
	}
	if l.mem.Step == empty {
		if err := l.persist(ctx, "complete the hook", l.complete); err != nil {
			return err
		}
		if err := l.remember(completed); err != nil {
			return err
		}
	}
	if l.mem.Step == completed && l.cfg.Purge != nil {
		purge := func(ctx context.Context) error { return l.cfg.Purge(ctx, l.cfg.Node) }
		if err := l.persist(ctx, "purge the node", purge); err != nil {
			return err
		}
	}
	return l.remember(done)
}

// identify finds out which machine this is and reads how far it was.
func (l *Lifecycle) identify(ctx context.Context) error {
	if l.cfg.Instance == "" {
		err := l.persist(ctx, "ask for the instance", func(ctx context.Context) (err error) {
			l.cfg.Instance, err = l.cloud.metadata(ctx, "instance-id")
			return err
		})
		if err != nil {
			return err
		}
	}
	var err error
	if l.mem, err = recall(l.cfg.State); err != nil {
		return err
	}
	if l.mem.Instance != l.cfg.Instance { // of another machine: an image was made of this one
		l.mem = memory{Instance: l.cfg.Instance}
	}
	l.log = l.log.With("instance", l.cfg.Instance, "node", l.cfg.Node)
	return nil
}

// await waits for Amazon's word in the metadata of the machine: the end by its
// group, or that of a spot instance in two minutes.
func (l *Lifecycle) await(ctx context.Context) error {
	for !l.cfg.Now {
		target, err := l.cloud.metadata(ctx, "autoscaling/target-lifecycle-state")
		if err != nil && !errors.Is(err, ci.ErrNotFound) {
			l.log.Warn("metadata", "error", err)
		}
		if target == "Terminated" {
			l.log.Info("the group ends this machine")
			return nil
		}
		if notice, err := l.cloud.metadata(ctx, "spot/instance-action"); err == nil {
			l.log.Warn("Amazon takes this spot instance back, whatever runs", "notice", notice)
			return nil
		}
		if err := sleep(ctx, l.cfg.Poll); err != nil {
			return err
		}
	}
	return nil
}

// empty drains the node and waits until it has nothing, with heartbeats all the
// while. Whatever is refused is tried again: ending too soon kills builds.
func (l *Lifecycle) empty(ctx context.Context) error {
	l.next = time.Now()
	for {
		if !time.Now().Before(l.next) {
			l.heartbeat(ctx)
		}
		step, cancel := context.WithTimeout(ctx, min(10*time.Second, l.beat))
		over, err := l.look(step)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			l.log.Warn("the node cannot end yet", "error", err)
		case over:
			return l.remember(empty)
		}
		if err := sleep(ctx, min(l.cfg.Poll, max(time.Until(l.next), time.Millisecond))); err != nil {
			return err
		}
	}
}

// look goes one step on, and reports whether the node has nothing any more.
func (l *Lifecycle) look(ctx context.Context) (bool, error) {
	if l.mem.Step == draining {
		err := l.drain.Drain(ctx, l.cfg.Node)
		if gone, err := l.unknown(err); gone || err != nil {
			return gone, err
		}
		if err := l.remember(drained); err != nil {
			return false, err
		}
	}
	n, err := l.drain.Allocations(ctx, l.cfg.Node)
	if gone, err := l.unknown(err); gone || err != nil {
		return gone, err
	}
	l.log.Info("draining", "allocations", n)
	return n == 0, nil
}

// unknown judges an error of the server. A node that it has not known for a
// while has nothing of ours.
func (l *Lifecycle) unknown(err error) (bool, error) {
	if !errors.Is(err, ci.ErrNotFound) {
		l.missing = time.Time{}
		return false, err
	}
	if l.missing.IsZero() {
		l.missing = time.Now()
	}
	if time.Since(l.missing) < l.cfg.Missing {
		return false, err
	}
	l.log.Warn("the server does not know this node, so it has nothing of ours", "since", l.missing)
	return true, nil
}

// heartbeat asks for more time. After a refusal the next comes sooner.
func (l *Lifecycle) heartbeat(ctx context.Context) {
	step, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := l.hook(step)
	if err == nil {
		_, err = l.cloud.scaling.RecordLifecycleActionHeartbeat(step, &autoscaling.RecordLifecycleActionHeartbeatInput{
			AutoScalingGroupName: &l.cfg.Group, LifecycleHookName: &l.cfg.Hook, InstanceId: &l.cfg.Instance,
		})
	}
	if l.next = time.Now().Add(l.beat); err != nil && ctx.Err() == nil {
		l.next = time.Now().Add(min(l.cfg.Poll, l.beat))
		l.log.Warn("heartbeat", "error", err)
	}
}

// hook finds group, hook and how long it waits, once.
func (l *Lifecycle) hook(ctx context.Context) error {
	if l.cfg.Group == "" {
		out, err := l.cloud.scaling.DescribeAutoScalingInstances(ctx, &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: []string{l.cfg.Instance}})
		if err != nil {
			return err
		}
		if len(out.AutoScalingInstances) == 0 {
			return fmt.Errorf("%w: %s belongs to no Auto Scaling group", ci.ErrNotFound, l.cfg.Instance)
		}
		l.cfg.Group = aws.ToString(out.AutoScalingInstances[0].AutoScalingGroupName)
	}
	if l.known {
		return nil
	}
	out, err := l.cloud.scaling.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: &l.cfg.Group})
	if err != nil {
		return err
	}
	for _, h := range out.LifecycleHooks {
		name := aws.ToString(h.LifecycleHookName)
		if aws.ToString(h.LifecycleTransition) != "autoscaling:EC2_INSTANCE_TERMINATING" || l.cfg.Hook != "" && name != l.cfg.Hook {
			continue
		}
		l.cfg.Hook, l.known = name, true
		l.beat = time.Duration(aws.ToInt32(h.HeartbeatTimeout)) * time.Second / 3
		return nil
	}
	return fmt.Errorf("%w: group %s has no hook for the end of machines (autoscaling:EC2_INSTANCE_TERMINATING): nothing holds Amazon back; add one with a heartbeat timeout of 3600 s", ci.ErrNotFound, l.cfg.Group)
}

// complete lets Amazon go on. A hook that is not active has been completed, or
// there is none.
func (l *Lifecycle) complete(ctx context.Context) error {
	if err := l.hook(ctx); errors.Is(err, ci.ErrNotFound) {
		l.log.Warn("there is no hook to complete", "error", err)
		return nil
	} else if err != nil {
		return err
	}
	_, err := l.cloud.scaling.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
		AutoScalingGroupName: &l.cfg.Group, LifecycleHookName: &l.cfg.Hook, InstanceId: &l.cfg.Instance, LifecycleActionResult: aws.String("CONTINUE"),
	})
	var said smithy.APIError
	if errors.As(err, &said) && said.ErrorCode() == "ValidationError" && strings.Contains(said.ErrorMessage(), "No active Lifecycle Action") {
		l.log.Info("the hook is not active: nothing to complete")
		return nil
	}
	return err
}

// persist tries until it is done or the context ends.
func (l *Lifecycle) persist(ctx context.Context, what string, do func(context.Context) error) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		step, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := do(step)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.log.Warn(what, "error", err, "again_in", wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
