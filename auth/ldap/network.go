package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	wire "github.com/go-ldap/ldap/v3"
)

// maxAnswer is how many bytes a server may send before it is asked again.
const maxAnswer = 32 << 20

// A server is one of the directory's.
type server struct {
	host string
	port int
}

func (e server) String() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

func parseServer(text string) (server, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return server{}, err
	}
	n, err := strconv.Atoi(port)
	if err == nil && (n < 1 || n > 65535 || host == "") {
		err = fmt.Errorf("port %d", n)
	}
	return server{host, n}, err
}

// servers returns all that can be read; Complete has judged the rest.
func (s Settings) servers() []server {
	all := []server{{strings.Trim(s.Hostname, "[]"), s.Port}}
	for _, o := range s.Network.Others {
		if e, err := parseServer(o); err == nil {
			all = append(all, e)
		}
	}
	return all
}

// url is how ldapsearch calls the server.
func (d *Directory) url(e server) string {
	if d.s.Encryption == LDAPS {
		return "ldaps://" + e.String()
	}
	return "ldap://" + e.String()
}

// A link is one connection to one server.
type link struct {
	*wire.Conn
	server server
	limit  *limited
	since  time.Time // when it was made
	used   time.Time // when it was last given back
	active bool      // the server is an Active Directory
	bound  bool      // it was given out before
}

// limited counts what comes in, so that no answer is without an end.
type limited struct {
	net.Conn
	left atomic.Int64
}

// Read reads as long as the server has not sent too much.
func (l *limited) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if l.left.Add(int64(-n)) < 0 {
		return 0, errors.New("the answer has no end")
	}
	return n, err
}

// during lets go of the connection when the context ends, which is the only way
// to stop waiting for an answer. The caller calls what it returns.
func (l *link) during(ctx context.Context) func() bool {
	l.limit.left.Store(maxAnswer)
	return context.AfterFunc(ctx, func() { _ = l.limit.Close() })
}

// dial connects to the server and encrypts as the settings say. It binds as
// nobody.
func (d *Directory) dial(ctx context.Context, tr *tracer, e server) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, d.s.Network.Timeout)
	defer cancel()
	if tr != nil && !isAddress(e.host) {
		err := tr.step("name", "addresses of "+e.host, "getent hosts "+quote(e.host), func() (string, error) {
			addresses, err := net.DefaultResolver.LookupHost(ctx, e.host)
			if err != nil {
				return "", unreachable(err, e.String())
			}
			return strings.Join(addresses, ", "), nil
		})
		if err != nil {
			return nil, err
		}
	}
	var conn net.Conn
	err := tr.step("connect", "a TCP connection to "+e.String(), "", func() (said string, err error) {
		if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", e.String()); err != nil {
			return "", unreachable(err, e.String())
		}
		return "connected to " + conn.RemoteAddr().String(), nil
	})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	encrypted := d.s.Encryption != Plain
	if !encrypted {
		tr.skip("encrypt", "left out: whoever is on the network can read every password; use starttls or ldaps")
	} else if conn, err = d.encrypt(ctx, tr, conn, e); err != nil {
		return nil, err
	}
	l := &link{server: e, limit: &limited{Conn: conn}, since: time.Now()}
	l.limit.left.Store(maxAnswer)
	l.Conn = wire.NewConn(l.limit, encrypted)
	l.SetTimeout(d.s.Network.Timeout)
	l.Start()
	return l, nil
}

// encrypt returns the connection inside TLS, or closes it.
func (d *Directory) encrypt(ctx context.Context, tr *tracer, conn net.Conn, e server) (net.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cmp.Or(d.s.Network.ServerName, e.host), RootCAs: d.roots()}
	command := fmt.Sprintf("openssl s_client -connect %s -servername %s", quote(e.String()), quote(config.ServerName))
	if d.s.Encryption == StartTLS {
		command += " -starttls ldap"
	}
	secure := tls.Client(conn, config)
	err := tr.step("encrypt", fmt.Sprintf("%s with a certificate for %s", d.s.Encryption, config.ServerName), command, func() (string, error) {
		if d.s.Encryption == StartTLS {
			if err := startTLS(ctx, conn, e); err != nil {
				return "", err
			}
		}
		if err := secure.HandshakeContext(ctx); err != nil {
			return "", explainTLS(err, e.String())
		}
		state := secure.ConnectionState()
		leaf := state.PeerCertificates[0]
		return fmt.Sprintf("%s; certificate of %s, signed by %s, good until %s", tls.VersionName(state.Version),
			cmp.Or(strings.Join(leaf.DNSNames, ", "), leaf.Subject.String()), leaf.Issuer, leaf.NotAfter.UTC().Format(time.DateOnly)), nil
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// startTLS asks for TLS in the clear (RFC 4511, 4.14) and reads the one answer,
// byte by byte: whatever somebody has put behind it is read as TLS and ends the
// handshake. Every answer but success ends the connection.
func startTLS(ctx context.Context, conn net.Conn, e server) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
		defer func() { _ = conn.SetDeadline(time.Time{}) }()
	}
	request := ber.NewSequence("")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
	operation := ber.Encode(ber.ClassApplication, ber.TypeConstructed, wire.ApplicationExtendedRequest, nil, "")
	operation.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "1.3.6.1.4.1.1466.20037", ""))
	request.AppendChild(operation)
	if _, err := conn.Write(request.Bytes()); err != nil {
		return fmt.Errorf("starttls with %s: %w", e, err)
	}
	answer, err := ber.ReadPacket(io.LimitReader(conn, 64<<10))
	if err != nil {
		return fmt.Errorf("starttls with %s: no answer: %w", e, err)
	}
	ours := len(answer.Children) > 1 && answer.Children[0].Value == int64(1) && answer.Children[1].Tag == wire.ApplicationExtendedResponse
	if !ours {
		return fmt.Errorf("starttls with %s: the answer is none to this question", e)
	}
	if err := wire.GetLDAPError(answer); err != nil {
		return fmt.Errorf("starttls with %s: the server refuses it, and nothing is sent unencrypted instead; use ldaps if the server has that: %s", e, diagnosis(err))
	}
	return nil
}

// pool returns the certificates of PEM, nil for those of the system.
func pool(pem []byte) *x509.CertPool {
	if pem == nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots
}

func isAddress(host string) bool { return net.ParseIP(host) != nil }

// order returns the servers to try: those that did not answer lately come last.
func (d *Directory) order() []server {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	all := slices.Clone(d.servers)
	slices.SortStableFunc(all, func(a, b server) int {
		return cmp.Compare(bit(d.down[a].After(now)), bit(d.down[b].After(now)))
	})
	return all
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// penalty is how long a server that did not answer comes last.
const penalty = 30 * time.Second

// reached notes whether a server has answered.
func (d *Directory) reached(e server, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		delete(d.down, e)
		return
	}
	if _, known := d.down[e]; !known {
		d.log.Warn("a directory server is of no use; the others are asked first for a while", "server", e.String(), "error", err)
	}
	d.down[e] = time.Now().Add(penalty)
}

// connect dials the servers in turn until prepare is content with one.
func (d *Directory) connect(ctx context.Context, tr *tracer, prepare func(*link) error) (*link, error) {
	var wrong []error
	for _, e := range d.order() {
		l, err := d.dial(ctx, tr, e)
		if err == nil {
			stop := l.during(ctx)
			if err = prepare(l); err != nil {
				_ = l.Close()
			}
			stop()
		}
		if ctx.Err() == nil || err == nil {
			d.reached(e, err)
		}
		if err == nil {
			return l, nil
		}
		wrong = append(wrong, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(wrong...)
}
