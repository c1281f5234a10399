package sqldb

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// A listener hears of events that other processes have written. It is a hint
// only: who waits asks the database anyway, a little later.
type listener struct {
	config  *pgx.ConnConfig
	trust   beforeConnect
	channel string
}

// run raises the signal at each event until ctx ends.
func (l *listener) run(ctx context.Context, log *slog.Logger, s *signal) {
	for ctx.Err() == nil {
		if err := l.hear(ctx, s); err != nil && ctx.Err() == nil {
			log.Debug("listening for events, will connect again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// hear listens over one connection until that is lost.
func (l *listener) hear(ctx context.Context, s *signal) error {
	config := l.config.Copy()
	if err := l.trust(ctx, config); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{l.channel}.Sanitize()); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if newest, err := strconv.ParseUint(n.Payload, 10, 64); err == nil {
			s.raise(newest)
		}
	}
}
