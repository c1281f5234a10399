package s3

import (
	"context"
	"time"
)

// OpenQuick is Open with little patience.
func OpenQuick(ctx context.Context, cfg Config, silence time.Duration) (*Store, error) {
	return open(ctx, cfg, patience{silence, 20 * time.Millisecond})
}
