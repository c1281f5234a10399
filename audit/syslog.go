package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// SyslogConfig holds what a [Syslog] can do without.
type SyslogConfig struct {
	// TLS is how the server is checked, and the client's certificate; nil is
	// the roots of the system.
	TLS *tls.Config
	// Roots are asked for at each connection, where TLS names no authorities;
	// nil are those of the system.
	Roots func() *x509.CertPool
	// Host is the HOSTNAME of messages; "" is that of this machine.
	Host string
	// Timeout is how long a connection or a batch may take; 0 is 15 s.
	Timeout time.Duration
}

// A Syslog is a sink that sends each line as a message of RFC 5424 over TLS,
// framed by octet counting (RFC 5425). The protocol has no receipts: what was
// written to a connection that then breaks is sent again only when the break
// shows before the batch is done. Severity is notice for what was done and
// warning for what was refused; the facility is 13, log audit.
type Syslog struct {
	address string
	cfg     SyslogConfig
	mu      sync.Mutex
	conn    *tls.Conn
}

// NewSyslog returns a sink for a server, host:port. It connects when there is
// something to send.
func NewSyslog(address string, cfg SyslogConfig) *Syslog {
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	if cfg.Host == "" {
		cfg.Host, _ = os.Hostname()
	}
	cfg.Host = word(cfg.Host, 255)
	return &Syslog{address: address, cfg: cfg}
}

// word is the text as a field of a header, "-" for nothing.
func word(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return -1
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}

// Send implements [Sink].
func (s *Syslog) Send(ctx context.Context, lines []Line) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.send(ctx, lines)
	if err != nil {
		s.drop()
		return fmt.Errorf("syslog %s: %w", s.address, err)
	}
	return nil
}

func (s *Syslog) send(ctx context.Context, lines []Line) error {
	if s.conn != nil && s.gone() {
		s.drop()
	}
	if s.conn == nil {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: s.cfg.Timeout}, Config: s.cfg.TLS}
		if s.cfg.Roots != nil && (d.Config == nil || d.Config.RootCAs == nil) {
			d.Config = d.Config.Clone() // of nil it is nil
			if d.Config == nil {
				d.Config = &tls.Config{MinVersion: tls.VersionTLS12}
			}
			d.Config.RootCAs = s.cfg.Roots()
		}
		c, err := d.DialContext(ctx, "tcp", s.address)
		if err != nil {
			return err
		}
		s.conn = c.(*tls.Conn)
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if err := conn.SetWriteDeadline(time.Now().Add(s.cfg.Timeout)); err != nil {
		return err
	}
	var b []byte
	for _, l := range lines {
		m, err := s.message(l)
		if err != nil {
			return err
		}
		b = strconv.AppendInt(b, int64(len(m)), 10)
		b = append(append(b, ' '), m...)
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	if s.gone() {
		return errors.New("the server closed the connection")
	}
	return nil
}

// gone reports whether the other side has closed the connection, which it
// never writes to.
func (s *Syslog) gone() bool {
	var one [1]byte
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := s.conn.Read(one[:])
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func (s *Syslog) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// Close ends the connection, if there is one.
func (s *Syslog) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	return nil
}

// message is a line as RFC 5424 has it: what the event is stands in the
// structured data too, and the line is the message.
func (s *Syslog) message(l Line) ([]byte, error) {
	e, err := l.Event()
	if err != nil {
		return nil, err
	}
	const audit = 13 * 8
	severity := 5
	if !e.Success {
		severity = 4
	}
	return fmt.Appendf(nil, `<%d>1 %s %s rondo - %s [audit@32473 id="%s" seq="%d" actor="%s" target="%s"] %s`,
		audit+severity, e.Occurred.UTC().Format("2006-01-02T15:04:05.000000Z"), s.cfg.Host, word(e.Action, 32),
		param(e.ID), l.Seq, param(firstText(e.Actor.Name, e.Actor.ID)), param(firstText(e.Target.Name, e.Target.ID)), l.Text), nil
}

func firstText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// param escapes the value of a parameter.
func param(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(strings.ToValidUTF8(text, ""))
}

var _ Sink = (*Syslog)(nil)

// errSink wraps what a sink refuses for good.
func errSink(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ci.ErrInvalid)...)
}
