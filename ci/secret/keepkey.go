package secret

import (
	"context"
	"errors"
	"fmt"

	"github.com/rondo-ci/rondo/ci"
)

// KeepKey keeps the deploy key that the border to a code host has made and
// registered there itself, in place of the one for the same host before; it
// becomes the preferred one. A key without Private forgets it. The same key
// again, and forgetting what is not there, is no error.
func (s *Safe) KeepKey(ctx context.Context, p ci.ProjectID, key ci.SSHKey) error {
	if err := s.keepKey(ctx, p, key); err != nil {
		return fmt.Errorf("keep deploy key: %w", err)
	}
	return nil
}

func (s *Safe) keepKey(ctx context.Context, p ci.ProjectID, key ci.SSHKey) error {
	var k ci.Key
	if key.Private != "" {
		var err error
		if k, err = readKey(key.Private); err == nil {
			err = checkHost(key.Host)
		}
		if err != nil {
			return err
		}
		k.Kind, k.Host = ci.KeyDeploy, key.Host
		if _, err := s.putKey(ctx, p, k, key.Private, ci.Actor{}, false); err != nil && !errors.Is(err, ci.ErrConflict) {
			return err
		}
	}
	_, list, err := s.keys(ctx, p)
	if err != nil {
		return err
	}
	for _, old := range list {
		if old.Kind != ci.KeyDeploy || old.Host != key.Host || old.SHA256 == k.SHA256 {
			continue
		}
		if err := s.removeKey(ctx, p, old, ci.Actor{}, false); err != nil && !errors.Is(err, ci.ErrNotFound) {
			return err
		}
	}
	return nil
}
