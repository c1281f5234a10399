// Package sqldbtest starts a real Postgres for tests, of which the machine has
// the programs (Debian's package postgresql).
//
// Its noun is the [Cluster]: one server with a folder of its own, on a free
// port of this machine only, in which each test gets a database. It is for
// tests: nothing in it is safe against a loss of power.
package sqldbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that makes databases

	"github.com/rondo-ci/rondo/ci"
)

// A Cluster is a running Postgres. Its methods may be called at once, except
// for Restart and Stop.
type Cluster struct {
	Port int
	dir  string
	bin  string
	run  *syscall.Credential // who the server runs as; nil is this user
	exit chan error          // how the server ended
	pid  int

	settings []string
}

// Bin returns the folder of Postgres' programs: Debian keeps them outside of
// PATH. Without them it is [ci.ErrNotFound].
func Bin() (string, error) {
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", fmt.Errorf("postgres is not installed (Debian package postgresql): %w", ci.ErrNotFound)
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// Start makes a cluster and starts its server. It ends with this process, in
// whatever way that ends; Stop also removes its folder. Settings, as in
// "fsync=on", come after those that make it fast.
func Start(settings ...string) (*Cluster, error) {
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, settings: settings}
	if c.dir, err = os.MkdirTemp("", "rondo-postgres-"); err != nil {
		return nil, err
	}
	if err := errors.Join(c.own(), c.init(), c.start()); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), os.RemoveAll(c.dir))
	}
	return c, nil
}

// own gives the folder to the user postgres, since the server refuses root.
func (c *Cluster) own() error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	c.run = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.dir, int(uid), int(gid))
}

func (c *Cluster) init() error {
	cmd := exec.Command(filepath.Join(c.bin, "initdb"), "-D", filepath.Join(c.dir, "data"),
		"-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = c.dir, &syscall.SysProcAttr{Credential: c.run}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.Port = l.Addr().(*net.TCPAddr).Port
	return l.Close()
}

// start starts the server and returns when it answers.
func (c *Cluster) start() error {
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), "-D", filepath.Join(c.dir, "data"),
		"-c", "listen_addresses=127.0.0.1", "-p", strconv.Itoa(c.Port), "-k", c.dir,
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "shared_buffers=64MB")
	for _, set := range c.settings {
		cmd.Args = append(cmd.Args, "-c", set)
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.run, Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	started, exit := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the server is told of the death of the thread that started it
		err := cmd.Start()
		started <- err
		if err == nil {
			exit <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.exit, c.pid = exit, cmd.Process.Pid
	return c.answers()
}

// answers returns when the server takes connections.
func (c *Cluster) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	pool, err := sql.Open("pgx", c.DSN("postgres"))
	if err != nil {
		return err
	}
	defer pool.Close()
	for {
		if err = pool.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case ended := <-c.exit:
			text, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return fmt.Errorf("the server ended: %w: %s", errors.Join(ended, err), text)
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// DSN returns the address of a database of the cluster.
func (c *Cluster) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", c.Port, database)
}

// Create makes an empty database of that name and returns its address.
func (c *Cluster) Create(ctx context.Context, database string) (string, error) {
	return c.DSN(database), c.Exec(ctx, "postgres", "CREATE DATABASE "+database)
}

// Drop removes a database, whoever is connected to it.
func (c *Cluster) Drop(ctx context.Context, database string) error {
	return c.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+database+" WITH (FORCE)")
}

// Exec runs statements in a database.
func (c *Cluster) Exec(ctx context.Context, database string, statements ...string) error {
	pool, err := sql.Open("pgx", c.DSN(database))
	if err != nil {
		return err
	}
	defer pool.Close()
	for _, s := range statements {
		if _, err := pool.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(s), err)
		}
	}
	return nil
}

// Restart ends the server as if it had crashed ("pg_ctl restart -m immediate")
// and starts it again. It returns when the server answers.
func (c *Cluster) Restart() error {
	if err := syscall.Kill(c.pid, syscall.SIGQUIT); err != nil {
		return err
	}
	<-c.exit
	return c.start()
}

// Stop ends the server and removes its folder.
func (c *Cluster) Stop() error {
	if err := syscall.Kill(c.pid, syscall.SIGQUIT); err != nil {
		return err
	}
	<-c.exit
	return os.RemoveAll(c.dir)
}
