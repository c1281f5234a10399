package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/cmd/internal/relay"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"golang.org/x/sync/errgroup"
)

// clusterSettings say that two or more servers are one installation.
type clusterSettings struct {
	// Advertise is where the other servers reach this one, in a private
	// network, as in http://10.0.0.5:8586; Listen is the address that it
	// listens at for them, "" that of Advertise.
	Advertise string `yaml:"advertise"`
	Listen    string `yaml:"listen"`
	// Key is the same secret on every server.
	Key secretRef `yaml:"key"`
	// Shared is a folder that every server has: files, logs, keys, tokens.
	Shared string `yaml:"shared"`
}

func (c *clusterSettings) check(s *settings) error {
	if c == nil {
		return nil
	}
	u, err := url.Parse(c.Advertise)
	_, given := s.Secrets.root()
	switch {
	case err != nil || u.Scheme != "http" || u.Port() == "" || strings.Trim(u.Path, "/") != "":
		return fmt.Errorf("cluster.advertise: %q is not where other servers reach this one, as in http://10.0.0.5:8586", c.Advertise)
	case c.Shared == "":
		return errors.New("cluster.shared is missing: a folder that every server has, as in /mnt/rondo")
	case s.Database == "":
		return errors.New("cluster needs a Postgres that every server uses: set database")
	case !given && s.Secrets.Vault == nil:
		return errors.New("cluster: set secrets.passphrase, secrets.key or secrets.vault, the same on every server")
	}
	return c.Key.check("cluster.key", true)
}

// state is the folder of what outlives a server.
func (s *settings) state() string {
	if s.Cluster != nil {
		return s.Cluster.Shared
	}
	return s.Data
}

// The times of a term. A server takes over termTime after it last heard of the
// other one; that one gives no answers any more termMargin earlier.
const (
	termTime   = 4 * time.Second
	termMargin = 500 * time.Millisecond
)

// A duty is this server's part among several: it follows the one that
// conducts, or conducts.
//
// One server conducts, and is all of Rondo; the others pass every request on
// to it (see package relay) and wait to take its place. So nothing in the rooms
// has to know that there are several: there is one scheduler, one set of
// followers, one reader of hot logs.
//
// Who conducts stands in the database, with where it is reached and until when,
// by the database's clock (see [sqldb.DB.Conduct]). What keeps a server that was
// paused from doing harm when it goes on: each of its transactions finds that
// its term is over; it gives no answer after its term, so nobody takes for
// stored what is not; and its open log files are not those that its successor
// reads. Then it ends, and whatever runs it starts it again.
//
// The shared folder holds files, logs, keys and tokens. It must be one whose
// fsync means what it says and whose files another machine sees when they are
// synced and closed, as with NFS 4 mounted hard and sync, or a cluster's file
// system. Agents of this machine, and their door, are in the data folder; jobs
// whose machine is gone with its server are lost when their leases end, as
// always. A server without cluster that uses a Postgres conducts too, so that
// a second one started by mistake is refused.
type duty struct {
	log     *slog.Logger
	db      *sqldb.DB
	relay   *relay.Relay
	holder  string
	address string
	term    int64 // set once, before anything else runs
	until   atomic.Pointer[time.Time]
}

// join makes the server one of a cluster. Its listeners are answered from now
// on; it returns when this server conducts, or when ctx ends. ended stops what
// it has started.
func (s *teamServer) join(ctx context.Context, set clusterSettings, asJSON bool) (ended func(), err error) {
	key, err := set.Key.read()
	if err != nil {
		return nil, fmt.Errorf("cluster.key: %w", err)
	}
	s.local, s.several = s.folder, true
	if s.folder, err = datadir.Share(set.Shared); err != nil {
		return nil, err
	}
	at, _ := url.Parse(set.Advertise) // was checked
	listenAt := at.Host
	if set.Listen != "" {
		listenAt = set.Listen
	}
	inside, err := listen(listenAt)
	if err != nil {
		return nil, fmt.Errorf("cluster.advertise: %w (cluster.listen may name another address to listen at)", err)
	}
	if err := s.openLocal(ctx); err != nil {
		return nil, errors.Join(err, inside.Close())
	}
	holder, err := s.local.Secret(holderFile, "")
	if err != nil {
		return nil, errors.Join(err, inside.Close())
	}
	d := &duty{log: s.log, db: s.db, relay: relay.New(key, s.log), holder: holder, address: set.Advertise}
	s.duty, s.resign = d, func() { d.resign(s.db) }
	lines, stop := context.WithCancel(context.WithoutCancel(ctx))
	g, lines := errgroup.WithContext(lines)
	for _, l := range []struct {
		net.Listener
		h http.Handler
	}{
		{s.page, d.relay.Handler(relay.Pages)}, {s.agentDoor, d.relay.Handler(relay.Agents)},
		{s.agents, d.relay.Handler(relay.Agents)}, {inside, d.relay.Inside()},
	} {
		g.Go(func() error { return serve(lines, l.Listener, l.h) })
	}
	if asJSON {
		if err := printJSON(s.addresses()); err != nil {
			stop()
			return nil, err
		}
	}
	s.parts = append(s.parts, d.keep, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-lines.Done(): // one of them has failed
			return g.Wait()
		}
	})
	once := sync.OnceFunc(func() { stop(); _ = g.Wait() })
	if err := d.await(ctx); err != nil || ctx.Err() != nil {
		once()
		return nil, err
	}
	// While the rooms open, which may take a while, the term is prolonged too.
	opening, opened := context.WithCancel(ctx)
	go func() { _ = d.keep(opening) }()
	s.parts = append(s.parts, func(context.Context) error { opened(); return nil })
	if err := gatherLogs(s.folder, d.term); err != nil {
		opened()
		once()
		return nil, fmt.Errorf("take over the logs: %w", err)
	}
	return func() { opened(); once() }, nil
}

// holderFile names a server in the database. It is in the data folder, which
// one process at a time uses.
const holderFile = "server"

// alone sees to it that no other server uses the Postgres. It waits for the
// term of one that is gone.
func (in *installation) alone(ctx context.Context) error {
	holder, err := in.local.Secret(holderFile, "")
	if err != nil {
		return err
	}
	d := &duty{log: in.log, db: in.db, holder: holder}
	for end := time.Now().Add(termTime + time.Second); ; {
		err := d.take(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, ci.ErrConflict) || time.Now().After(end) {
			return fmt.Errorf("use the database alone: %w: stop the other server, or say under cluster that they are several", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	in.resign = func() { d.resign(in.db) }
	in.parts = append(in.parts, d.keep)
	return nil
}

// await follows whoever conducts until this server does, or ctx ends.
func (d *duty) await(ctx context.Context) error {
	d.log.Info("ready to take over", "advertise", d.address)
	for ctx.Err() == nil {
		t, err := d.db.Term(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			d.log.Warn("who conducts is not known", "err", err)
		case t.Left > 0:
			d.relay.Follow(t.Address)
		default:
			d.relay.Follow("")
			if err = d.take(ctx); err == nil {
				d.relay.Follow(d.address) // what waits here comes to ourselves
				d.log.Info("this server conducts", "term", d.term)
				return nil
			}
			if !errors.Is(err, ci.ErrConflict) && ctx.Err() == nil {
				d.log.Warn("take over", "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
	return nil
}

// take takes or prolongs the term. It counts from before it was asked for.
func (d *duty) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, termTime)
	defer cancel()
	until := time.Now().Add(termTime - termMargin)
	t, err := d.db.Conduct(ctx, d.holder, d.address, termTime)
	if err != nil {
		return err
	}
	if d.term == 0 {
		d.term = t.Number
	}
	d.until.Store(&until)
	return nil
}

// keep prolongs the term until ctx ends. It returns an error when another
// server has taken over: then this process must end.
func (d *duty) keep(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(termTime / 5):
		}
		err := d.take(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, ci.ErrConflict):
			return fmt.Errorf("this server was away for too long, and another one has taken over: it ends, and follows when it is started again: %w", err)
		default:
			d.log.Warn("prolong the term", "err", err)
		}
	}
}

// lasts reports whether the term lasts for certain, by the clock that runs on
// steadily and by the one that goes on while the machine sleeps.
func (d *duty) lasts() bool {
	until, now := d.until.Load(), time.Now()
	return until != nil && now.Before(*until) && now.Round(0).Before(until.Round(0))
}

// answer lets h answer a line until ctx ends.
func (d *duty) answer(ctx context.Context, line string, h http.Handler) error {
	d.relay.Conduct(line, h, func() bool { return ctx.Err() == nil && d.lasts() })
	<-ctx.Done()
	return nil
}

// resign lets the next server take over at once.
func (d *duty) resign(db *sqldb.DB) {
	if d.until.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := db.Resign(ctx); err != nil && !errors.Is(err, ci.ErrConflict) {
		d.log.Warn("resign", "err", err)
	}
}

// logs is the name of the folder of hot logs: each term has its own, so that a
// server whose term is over writes into files that nobody reads.
func (d *duty) logs() string {
	if d == nil {
		return logsFolder
	}
	return fmt.Sprintf("%s-%d", logsFolder, d.term)
}

const logsFolder = "logs"
