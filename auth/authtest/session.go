package authtest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// The operations of LDAP that the fake knows, by the tag of the request.
const (
	opBind     = 0x60
	opUnbind   = 0x42
	opSearch   = 0x63
	opAbandon  = 0x50
	opExtended = 0x77
)

// Object identifiers of what is extended.
const (
	oidStartTLS = "1.3.6.1.4.1.1466.20037"
	oidWhoAmI   = "1.3.6.1.4.1.4203.1.11.3"
	oidPaged    = "1.2.840.113556.1.4.319"
	oidPolicy   = "1.3.6.1.4.1.42.2.27.8.5.1"
)

// A session is one connection.
type session struct {
	d         *Directory
	conn      net.Conn
	in        *bufio.Reader
	tls       *tls.Config
	number    int
	who       string // the normal name of who is bound, "" is nobody
	encrypted bool
}

// Serve answers connections until the listener is closed; then it closes them
// and returns nil. The TLS is for StartTLS, nil refuses that; for LDAPS give a
// listener of package crypto/tls.
func (d *Directory) Serve(l net.Listener, t *tls.Config) error {
	open := map[net.Conn]bool{}
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for c := range open {
			_ = c.Close()
		}
	}()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		_, secure := conn.(*tls.Conn)
		d.mu.Lock()
		open[conn] = true
		d.links++
		s := &session{d: d, conn: conn, in: bufio.NewReader(conn), tls: t, number: d.links, encrypted: secure}
		d.mu.Unlock()
		go func() {
			s.run()
			_ = conn.Close()
			d.mu.Lock()
			delete(open, conn)
			d.mu.Unlock()
		}()
	}
}

// run answers requests one after the other until the connection ends.
func (s *session) run() {
	for {
		m, err := readMessage(s.in)
		if err != nil || !s.handle(m) {
			return
		}
	}
}

var opNames = map[byte]string{opBind: "bind", opSearch: "search", opExtended: "extended"}

// handle answers one message and reports whether the connection goes on.
func (s *session) handle(m element) bool {
	id, op := m.at(0).number(), m.at(1)
	name := opNames[op.tag]
	r := Request{Op: name, Connection: s.number, Encrypted: s.encrypted}
	switch op.tag {
	case opBind:
		r.DN, r.Empty = op.at(1).text(), len(op.at(2).data) == 0
	case opSearch:
		r.DN = op.at(0).text()
	case opExtended:
	case opAbandon:
		return true
	default: // unbind, or what the fake does not know
		return false
	}
	s.d.record(r)
	f := s.d.currentFault()
	if f.Slow > 0 {
		time.Sleep(f.Slow)
	}
	if f.Drop == name || f.Drop == "any" {
		return false
	}
	if f.On == name && f.Result != 0 {
		return s.result(id, op.tag, f.Result, "", "it was told to say so")
	}
	switch op.tag {
	case opBind:
		return s.bind(id, op, m.at(2))
	case opSearch:
		return s.search(id, op, m.at(2), f)
	}
	return s.extended(id, op, f)
}

// answers are the tags of the results of operations.
var answers = map[byte]byte{opBind: 0x61, opSearch: 0x65, opExtended: 0x78}

// result sends the end of an operation.
func (s *session) result(id int64, op byte, code int, matched, text string, controls ...element) bool {
	return s.send(id, sequence(answers[op], integer(tagEnumerated, int64(code)), octets(matched), octets(text)), controls...)
}

func (s *session) send(id int64, op element, controls ...element) bool {
	m := sequence(tagSequence, integer(tagInteger, id), op)
	if len(controls) > 0 {
		m.in = append(m.in, sequence(0xa0, controls...))
	}
	_, err := s.conn.Write(m.bytes())
	return err == nil
}

func (s *session) extended(id int64, op element, f Fault) bool {
	switch op.at(0).text() {
	case oidWhoAmI:
		who := ""
		if s.who != "" {
			who = "dn:" + s.who
		}
		return s.send(id, sequence(0x78, integer(tagEnumerated, 0), octets(""), octets(""), element{tag: 0x8b, data: []byte(who)}))
	case oidStartTLS:
		if f.RefuseStartTLS || s.tls == nil || s.encrypted {
			return s.result(id, opExtended, 2, "", "TLS is not available")
		}
		answer := sequence(tagSequence, integer(tagInteger, id), sequence(0x78, integer(tagEnumerated, 0), octets(""), octets(""))).bytes()
		if f.InjectStartTLS {
			answer = append(answer, sequence(tagSequence, integer(tagInteger, id+1), sequence(0x61, integer(tagEnumerated, 0), octets(""), octets(""))).bytes()...)
		}
		if _, err := s.conn.Write(answer); err != nil {
			return false
		}
		secure := tls.Server(s.conn, s.tls)
		if secure.Handshake() != nil {
			return false
		}
		s.conn, s.in, s.encrypted, s.who = secure, bufio.NewReader(secure), true, ""
		return true
	}
	return s.result(id, opExtended, 2, "", "no such extended operation")
}

// control returns the value of a control of the request.
func control(controls element, oid string) (element, bool) {
	for _, c := range controls.in {
		if c.at(0).text() == oid {
			return c.in[len(c.in)-1], true
		}
	}
	return element{}, false
}

// unknownCritical reports whether the client insists on a control that is not
// known.
func unknownCritical(controls element) bool {
	for _, c := range controls.in {
		oid := c.at(0).text()
		critical := c.at(1).tag == tagBoolean && len(c.at(1).data) == 1 && c.at(1).data[0] != 0
		if critical && oid != oidPaged && oid != oidPolicy {
			return true
		}
	}
	return false
}
