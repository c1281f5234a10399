package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// How often a machine on which something runs is asked whether it is there, and
// how long it may take to answer.
const (
	pulseEvery = 15 * time.Second
	pulseTime  = 45 * time.Second
)

// A Visit is a connection to a machine. Its methods are safe for concurrent use.
type Visit struct{ client *ssh.Client }

// Enter logs in to the machine as its user, with its key, and to no other: a
// machine that proves another host key is [ci.ErrDenied], keys that cannot be
// read are [ci.ErrInvalid]. Any other error may pass: the machine may still
// boot. Whoever enters calls [Visit.Close].
func Enter(ctx context.Context, m ci.Machine) (*Visit, error) {
	want, _, _, _, err := ssh.ParseAuthorizedKey([]byte(m.HostKey))
	if err != nil {
		return nil, fmt.Errorf("enter machine %s: its host key is not known: %w", m.ID, ci.ErrInvalid)
	}
	key, err := ssh.ParsePrivateKey([]byte(m.Key))
	if err != nil {
		return nil, fmt.Errorf("enter machine %s: the private key is not one of OpenSSH: %w", m.ID, ci.ErrInvalid)
	}
	conn, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp", m.Address)
	if err != nil {
		return nil, fmt.Errorf("enter machine %s: %w", m.ID, err)
	}
	// A server that takes the connection and says nothing is given up as well.
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	stop := context.AfterFunc(limited, func() { conn.Close() })
	defer stop()
	other := false
	c, news, asks, err := ssh.NewClientConn(conn, m.Address, &ssh.ClientConfig{
		User: m.User,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		// Without this the server might prove another of its keys.
		HostKeyAlgorithms: algorithms(want.Type()),
		HostKeyCallback: func(_ string, _ net.Addr, got ssh.PublicKey) error {
			other = string(got.Marshal()) != string(want.Marshal())
			if other {
				return ci.ErrDenied
			}
			return nil
		},
	})
	if err != nil {
		conn.Close()
		if other {
			return nil, fmt.Errorf("enter machine %s: %s proves another host key than the machine's: %w", m.ID, m.Address, ci.ErrDenied)
		}
		return nil, fmt.Errorf("enter machine %s: log in as %s at %s: %w", m.ID, m.User, m.Address, errors.Join(limited.Err(), err))
	}
	return &Visit{ssh.NewClient(c, news, asks)}, nil
}

// algorithms are those by which a host proves a key of the type.
func algorithms(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// Run runs a command line by the shell of the user, to its end, and returns its
// exit code; in may be nil. An error is that the connection was lost, that the
// machine has not answered for 45 s, or that ctx has ended: then the visit is
// over, and the command loses its standard input. in is closed by nobody, and
// read for as long as the command may want it.
func (v *Visit) Run(ctx context.Context, command string, in io.Reader, out, errs io.Writer) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { v.client.Close() })
	defer stop()
	code, err := v.run(ctx, cancel, command, in, out, errs)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return code, err
}

func (v *Visit) run(ctx context.Context, cancel context.CancelCauseFunc, command string, in io.Reader, out, errs io.Writer) (int, error) {
	s, err := v.client.NewSession()
	if err != nil {
		return 0, fmt.Errorf("open a session: %w", err)
	}
	defer s.Close()
	s.Stdout, s.Stderr = out, errs
	if in != nil {
		// Not s.Stdin: the end of the command would wait for that of in.
		w, err := s.StdinPipe()
		if err != nil {
			return 0, err
		}
		go func() {
			_, _ = io.Copy(w, in)
			w.Close()
		}()
	}
	if err := s.Start(command); err != nil {
		return 0, fmt.Errorf("start a command: %w", err)
	}
	go v.pulse(ctx, cancel)
	var exit *ssh.ExitError
	switch err := s.Wait(); {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Signal() != "":
		return 128, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	default:
		return 0, fmt.Errorf("the connection was lost: %w", err)
	}
}

// pulse asks the machine again and again whether it is there, and gives up the
// connection when it is not: nothing else notices a machine that has lost its
// network.
func (v *Visit) pulse(ctx context.Context, cancel context.CancelCauseFunc) {
	t := time.NewTicker(pulseEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		dead := time.AfterFunc(pulseTime, func() { cancel(errSilent) })
		_, _, err := v.client.SendRequest("keepalive@openssh.com", true, nil)
		dead.Stop()
		if err != nil {
			return // the session ends by itself
		}
	}
}

var errSilent = fmt.Errorf("the machine has not answered for %s", pulseTime)

// Close ends the visit, and what runs in it loses its standard input. Twice is
// allowed.
func (v *Visit) Close() error {
	if err := v.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// enter is [Enter] for the service itself.
func enter(ctx context.Context, m vmservice.Machine, a vmservice.Access) (*Visit, error) {
	return Enter(ctx, ci.Machine{ID: m.ID, Address: m.Address, HostKey: m.HostKey, User: a.User, Key: a.Key})
}
