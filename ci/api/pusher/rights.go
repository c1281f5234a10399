package pusher

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// watchRights asks again and again whether those who subscribed may still
// read, until ctx ends.
func (s *Server) watchRights(ctx context.Context) {
	if s.cfg.Tickets.Still == nil {
		return
	}
	tick := time.NewTicker(s.cfg.Tickets.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.askAgain(ctx)
		}
	}
}

// A held is a private channel of a client.
type held struct {
	conn            *conn
	ticket, channel string
}

// askAgain ends the connections of tokens and sessions that have ended, and of
// those who lost a right, who may come back with what is left. It asks once
// about each ticket, and once about each of its channels.
func (s *Server) askAgain(ctx context.Context) {
	var all []held
	s.mu.Lock()
	for c := range s.conns {
		for _, of := range c.subs {
			if of.ticket != "" {
				all = append(all, held{c, of.ticket, of.channel})
			}
		}
	}
	s.mu.Unlock()
	type answer struct {
		by  ci.Actor
		err error
	}
	tickets := map[string]answer{}
	channels := map[[2]string]error{}
	for _, h := range all {
		a, ok := tickets[h.ticket]
		if !ok {
			a.by, a.err = s.cfg.Tickets.Still(ctx, h.ticket)
			tickets[h.ticket] = a
		}
		if a.err != nil {
			s.lost(ctx, h, a.err, codeRights, "your token or session is good no longer")
			continue
		}
		at := [2]string{h.ticket, h.channel}
		err, ok := channels[at]
		if !ok {
			err = s.readable(ctx, a.by, strings.TrimPrefix(h.channel, private))
			channels[at] = err
		}
		if err != nil {
			s.lost(ctx, h, err, codeAgain, "your rights have changed; come back and show them again")
		}
	}
}

// lost ends a connection whose client may not read any more. A fault is no
// answer: the next time tells.
func (s *Server) lost(ctx context.Context, h held, err error, code int, text string) {
	switch {
	case errors.Is(err, ci.ErrDenied) || errors.Is(err, ci.ErrNotFound):
		h.conn.end(code, text)
	case ctx.Err() == nil:
		s.log.Error("ask again who may read", "channel", h.channel, "err", err)
	}
}
