package nomad

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
)

// query are the options of a read.
func (c *Cluster) query(ctx context.Context, params map[string]string) *api.QueryOptions {
	return (&api.QueryOptions{Params: params}).WithContext(ctx)
}

// write are the options of a write.
func (c *Cluster) write(ctx context.Context) *api.WriteOptions {
	return (&api.WriteOptions{}).WithContext(ctx)
}

// words gives an error of Nomad's one of ours: what a job is refused for will
// not change, what is not there is not there, and all else may pass.
func (c *Cluster) words(err error) error {
	var answer api.UnexpectedResponseError
	if err == nil || !errors.As(err, &answer) || !answer.HasStatusCode() {
		return err
	}
	body := strings.TrimSpace(answer.Body())
	if len(body) > 500 {
		body = body[:500] + "..."
	}
	switch code := answer.StatusCode(); {
	case code == http.StatusNotFound:
		return fmt.Errorf("Nomad: %s: %w", body, ci.ErrNotFound)
	case code == http.StatusForbidden:
		return fmt.Errorf("Nomad: %s: %w", body, ci.ErrDenied)
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnprocessableEntity, invalid(body):
		return fmt.Errorf("Nomad: %s: %w", body, ci.ErrInvalid)
	default:
		return fmt.Errorf("Nomad answers %d: %s", code, body)
	}
}

// invalid tells a job that Nomad will never take; it says so with status 500.
func invalid(body string) bool {
	return strings.Contains(body, "alidation failed") || strings.Contains(body, "errors occurred") || strings.Contains(body, "error occurred")
}

// exists tells that a job was not registered since there is one of that ID.
func exists(err error) bool {
	return err != nil && strings.Contains(err.Error(), api.RegisterEnforceIndexErrPrefix)
}

// backoff is the pause before the next try: it doubles up to a limit.
type backoff struct{ next time.Duration }

func (b *backoff) pause(ctx context.Context) {
	b.next = min(max(2*b.next, 100*time.Millisecond), 15*time.Second)
	sleep(ctx, b.next)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
