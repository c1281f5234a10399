package pusher

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A sub is one channel of one client.
type sub struct {
	conn    *conn
	channel string
	ticket  string // of who asked for a private one
	after   uint64 // events up to there it has
	stop    context.CancelFunc
}

// maxMissed is how many events a client may have missed and still gets them
// one by one.
const maxMissed = 100_000

// subscribe adds a channel. false is the end of the connection.
func (c *conn) subscribe(ctx context.Context, data subscription) bool {
	refuse := func(status int, text string) bool {
		return c.answer(message("pusher:subscription_error", data.Channel, encode(map[string]any{
			"type": "AuthError", "error": text, "status": status,
		})))
	}
	name, needs := strings.CutPrefix(data.Channel, private)
	ticket, signed := "", true
	if needs {
		ticket, signed = c.s.signed(data.Auth, c.id, data.Channel, data.ChannelData)
	}
	switch {
	case len(data.Channel) > 200:
		data.Channel = ""
		return refuse(400, "the name of the channel is too long")
	case !signed:
		return refuse(401, "the signature is not right for this connection and channel")
	}
	if data.ChannelData != "" {
		if err := json.Unmarshal([]byte(data.ChannelData), &data.position); err != nil {
			return refuse(400, "channel_data cannot be read")
		}
	}
	if !needs {
		if err := c.s.open(ctx, name); err != nil {
			if !errors.Is(err, ci.ErrNotFound) && !errors.Is(err, ci.ErrDenied) && !errors.Is(err, ci.ErrInvalid) {
				c.s.log.Error("subscribe to channel", "channel", name, "err", err)
				return refuse(500, "something went wrong here")
			}
			return refuse(403, "there is no such channel for everybody; private- channels need a signature")
		}
	}
	select {
	case <-c.s.ready:
	case <-c.quit:
		return false
	}
	ctx, stop := context.WithCancel(ctx)
	of := &sub{conn: c, channel: data.Channel, ticket: ticket, stop: stop}
	status, text := c.s.add(ctx, of, data.position)
	if status != 0 {
		stop()
		return refuse(status, text)
	}
	return true
}

// succeeded is the answer to a subscription that begins after the event.
func succeeded(channel string, after uint64) []byte {
	return message("pusher_internal:subscription_succeeded", channel, encode(map[string]uint64{"seq": after}))
}

// add begins a subscription, or says why not. One without a position begins
// now; others catch up first.
func (s *Server) add(ctx context.Context, of *sub, at position) (status int, text string) {
	c := of.conn
	s.mu.Lock()
	defer s.mu.Unlock()
	of.after = s.seq
	if at.After != nil {
		of.after = *at.After
	}
	switch {
	case c.subs[of.channel] != nil:
		return 400, "the connection is subscribed to the channel already"
	case len(c.subs) >= maxSubs:
		return 429, "the connection has too many channels"
	case of.after+maxMissed < s.seq:
		return 410, "too much has happened since; read the state anew and subscribe without a number"
	}
	c.subs[of.channel] = of
	s.feed(of)
	if at.After == nil && jobOf(of.channel) == "" {
		c.offer(succeeded(of.channel, of.after))
		s.join(of)
		return 0, ""
	}
	go s.catchUp(ctx, of, at.Output)
	return 0, ""
}

// join lets a subscription have what happens from now on. The caller holds the
// lock.
func (s *Server) join(of *sub) {
	topic := s.topics[of.channel]
	if topic == nil {
		topic = map[*sub]struct{}{}
		s.topics[of.channel] = topic
	}
	topic[of] = struct{}{}
}

// drop ends a subscription. The caller holds the lock.
func (s *Server) drop(of *sub) {
	of.stop()
	delete(of.conn.subs, of.channel)
	if topic := s.topics[of.channel]; topic != nil {
		delete(topic, of)
		if len(topic) == 0 {
			delete(s.topics, of.channel)
		}
	}
	s.unfeed(of)
}

func (s *Server) unsubscribe(c *conn, channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := c.subs[channel]; of != nil {
		s.drop(of)
	}
}

// catchUp sends what a subscription missed, and lets it join when nothing is
// missing. It ends with the connection or the subscription.
func (s *Server) catchUp(ctx context.Context, of *sub, output map[string]int64) {
	c := of.conn
	last, err := s.read.LastEvent(ctx)
	if err != nil {
		s.failed(ctx, of, err)
		return
	}
	seq := min(of.after, last) // a number from another life, before a backup was restored, is now
	wrote, err := s.positions(ctx, of, output)
	if err != nil {
		s.failed(ctx, of, err)
		return
	}
	if !c.answer(succeeded(of.channel, seq)) {
		return
	}
	for {
		for e, err := range s.read.Events(ctx, seq) {
			if err != nil {
				s.failed(ctx, of, err)
				return
			}
			seq = e.Seq
			for _, name := range channelsOf(e) {
				if name == strings.TrimPrefix(of.channel, private) && !c.answer(message(string(e.Kind), of.channel, encode(e))) {
					return
				}
			}
		}
		if err := s.missedOutput(ctx, of, wrote); err != nil {
			s.failed(ctx, of, err)
			return
		}
		if s.caughtUp(of, seq, wrote) || ctx.Err() != nil {
			return
		}
	}
}

// caughtUp lets the subscription join if it has all that was sent.
func (s *Server) caughtUp(of *sub, seq uint64, wrote map[spot]int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of.conn.subs[of.channel] != of {
		return true // it has ended
	}
	if seq < s.seq || !s.wroteAll(of, wrote) {
		return false
	}
	of.after = seq // the reader may be ahead of what was sent
	s.join(of)
	return true
}

// failed ends a connection whose client cannot be given what it missed; it
// comes back.
func (s *Server) failed(ctx context.Context, of *sub, err error) {
	if ctx.Err() == nil && !errors.Is(err, errGone) {
		s.log.Error("read what a client missed", "channel", of.channel, "err", err)
		of.conn.end(codeFull, "what was missed could not be read; try again later")
	}
}
