package pusher

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// The bounds of a connection.
const (
	maxFrame  = 64 << 10         // bytes of a client's message
	maxSubs   = 200              // channels
	maxBurst  = 300              // messages at once, subscriptions of a start
	perSecond = 20               // messages after that
	pongTime  = 30 * time.Second // at most, to answer a ping
	writeTime = 10 * time.Second
)

// A conn is one client.
type conn struct {
	s     *Server
	ws    *websocket.Conn
	id    string
	live  chan []byte // what happens; full is the end
	back  chan []byte // answers and what was missed; waits for the client
	quit  chan struct{}
	ended sync.Once
	code  int // set before quit is closed
	text  string
	heard atomic.Int64 // when the client last said something, in Unix nanoseconds

	subs map[string]*sub // by channel; guarded by the server's mu
}

// connect serves one WebSocket.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: s.cfg.Origins, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it has answered
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(maxFrame)
	c := &conn{
		s: s, ws: ws, id: fmt.Sprintf("%d.%d", 1+rand.Uint32(), 1+rand.Uint32()),
		live: make(chan []byte, s.cfg.Queue), back: make(chan []byte), quit: make(chan struct{}), subs: map[string]*sub{},
	}
	c.heard.Store(time.Now().UnixNano())
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context())) // the connection is no longer the request's
	defer cancel()
	var writing sync.WaitGroup
	writing.Go(func() { c.write(ctx, cancel) })
	defer writing.Wait()
	defer c.end(codeAgain, "the connection has ended")
	defer s.leave(c)
	if code, text := s.enter(c, r); code != 0 {
		c.end(code, text)
		<-ctx.Done()
		return
	}
	c.answer(message("pusher:connection_established", "", encode(map[string]any{
		"socket_id": c.id, "activity_timeout": int(s.cfg.Activity.Seconds()),
	})))
	c.listen(ctx)
}

// enter takes a client in, or says with which code not.
func (s *Server) enter(c *conn, r *http.Request) (code int, text string) {
	q := r.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.PathValue("key") != s.cfg.Key:
		return codeNoApp, "there is no application of that key here"
	case q.Get("protocol") == "":
		return codeNoVersion, "no protocol version was given"
	case len(q.Get("protocol")) != 1 || !strings.Contains("567", q.Get("protocol")):
		return codeBadVersion, "this server speaks protocol version 7"
	case s.closed:
		return codeAgain, "the server is stopping"
	case len(s.conns) >= s.cfg.Connections:
		return codeFull, "there are too many connections"
	}
	s.conns[c] = struct{}{}
	return 0, ""
}

// leave forgets a client.
func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	for _, of := range c.subs {
		s.drop(of)
	}
}

// end closes the connection. The first code counts.
func (c *conn) end(code int, text string) {
	c.ended.Do(func() {
		c.code, c.text = code, text
		close(c.quit)
	})
}

// offer sends a message if the client keeps up, and else ends it. It never
// waits.
func (c *conn) offer(m []byte) {
	select {
	case c.live <- m:
	default:
		c.end(codeAgain, "this client is too slow")
	}
}

// answer sends a message when the client has taken those before. false is the
// end of the connection.
func (c *conn) answer(m []byte) bool {
	select {
	case c.back <- m:
		return true
	case <-c.quit:
		return false
	}
}

// write sends what there is to send, until the end.
func (c *conn) write(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	defer c.end(codeAgain, "the connection has ended") // nobody waits for a writer that has gone
	activity := c.s.cfg.Activity
	session := time.NewTimer(c.s.cfg.Session - time.Duration(rand.Int64N(int64(c.s.cfg.Session)/4+1))) // not all at once
	silence := time.NewTimer(activity)
	defer session.Stop()
	defer silence.Stop()
	var asked time.Time // when a ping was sent
	for {
		var m []byte
		select {
		case m = <-c.live:
		case m = <-c.back:
		case <-session.C:
			c.end(codeAgain, "come back and show your rights again")
		case <-silence.C:
			heard := time.Unix(0, c.heard.Load())
			switch quiet := time.Since(heard); {
			case quiet < activity:
				asked = time.Time{}
				silence.Reset(activity - quiet)
			case !asked.IsZero() && !heard.After(asked):
				c.end(codeNoPong, "no pong came")
			default:
				asked = time.Now()
				silence.Reset(min(pongTime, activity))
				m = message("pusher:ping", "", []byte("{}"))
			}
		case <-c.quit:
			c.farewell(ctx)
			return
		}
		if m != nil && !c.put(ctx, m) {
			return
		}
	}
}

// put writes one message.
func (c *conn) put(ctx context.Context, m []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, m) == nil
}

// farewell says why the connection ends.
func (c *conn) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if c.ws.Write(ctx, websocket.MessageText, problem(c.code, c.text)) == nil {
		_ = c.ws.Close(websocket.StatusCode(c.code), c.text)
	}
}

// listen does what the client says, until it goes.
func (c *conn) listen(ctx context.Context) {
	tokens, last := float64(maxBurst), time.Now()
	for {
		kind, text, err := c.ws.Read(ctx)
		if err != nil {
			return
		}
		now := time.Now()
		c.heard.Store(now.UnixNano())
		tokens = min(maxBurst, tokens+now.Sub(last).Seconds()*perSecond)
		last = now
		if tokens--; tokens < 0 {
			c.end(codeFull, "this client says too much")
			return
		}
		var m incoming
		if kind != websocket.MessageText || json.Unmarshal(text, &m) != nil {
			c.answer(problem(codeRefused, "the message is not the protocol's JSON"))
			continue
		}
		if !c.hear(ctx, m) {
			return
		}
	}
}

// hear does what one message says. false is the end of the connection.
func (c *conn) hear(ctx context.Context, m incoming) bool {
	switch {
	case m.Event == "pusher:ping":
		return c.answer(message("pusher:pong", "", []byte("{}")))
	case m.Event == "pusher:pong":
		return true
	case m.Event == "pusher:subscribe":
		var data subscription
		if err := json.Unmarshal(m.Data, &data); err != nil {
			return c.answer(problem(codeRefused, "the data of the subscription cannot be read"))
		}
		return c.subscribe(ctx, data)
	case m.Event == "pusher:unsubscribe":
		var data subscription
		if json.Unmarshal(m.Data, &data) == nil {
			c.s.unsubscribe(c, data.Channel)
		}
		return true
	case strings.HasPrefix(m.Event, "client-"):
		return c.answer(problem(codeRefused, "clients do not send events here"))
	}
	return c.answer(problem(codeRefused, "there is no event of that name for clients to send"))
}
