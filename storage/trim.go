package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// TrimConfig says what [Files.Trim] keeps.
type TrimConfig struct {
	// MaxAge is how long a file is kept; 0 means 15 days, and less than 0
	// means as long as there is room.
	MaxAge time.Duration
	// MaxBytes is how much all files together may take; 0 is no limit. The
	// oldest go first.
	MaxBytes int64
}

// Trim removes files that are too old or too many and returns how many it has
// removed. Only caches are kept by project and so can be trimmed; another kind
// is [ci.ErrInvalid]. Files that somebody stores or reads at the same time do
// no harm and take none.
func (s *Files) Trim(ctx context.Context, project ci.ProjectID, kind ci.FileKind, cfg TrimConfig) (removed int, err error) {
	if kind != ci.FileCache {
		return 0, fmt.Errorf("trim %.20s of project %.100q: only caches belong to a project: %w", kind, project, ci.ErrInvalid)
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 15 * 24 * time.Hour
	}
	found, err := s.list(ctx, project, ci.File{Kind: kind})
	if err != nil {
		return 0, fmt.Errorf("trim caches of project %.100q: %w", project, quiet(err))
	}
	now, kept := s.cfg.Now(), int64(0)
	full := false
	for _, o := range found {
		old := cfg.MaxAge > 0 && now.Sub(o.stored) > cfg.MaxAge
		full = full || cfg.MaxBytes > 0 && kept+o.size > cfg.MaxBytes
		if !old && !full {
			kept += o.size
			continue
		}
		if err := s.bucket.Delete(ctx, o.key); err != nil && !absent(missing(err)) {
			return removed, fmt.Errorf("trim caches of project %.100q: %w", project, quiet(err))
		}
		removed++
	}
	return removed, nil
}
