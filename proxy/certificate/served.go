package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"time"
)

// handshakeTime is how long a server may take to show its certificate.
const handshakeTime = 10 * time.Second

// handshake returns what a server shows for a name. It trusts anybody: it is for
// looking only, and nothing is sent.
func handshake(ctx context.Context, address, host string) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState(), nil
}

// Served checks the certificate that a server shows at host:port, and with
// certificates (PEM; nil is not compared) whether it is the one of that file.
// o.Host is the name that clients use; "" is that of the address.
func Served(ctx context.Context, address string, certificates []byte, o Options) Report {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host, address = address, net.JoinHostPort(address, "443")
	}
	if o.Host == "" {
		o.Host = host
	}
	var r Report
	state, err := handshake(ctx, address, o.Host)
	if err != nil {
		r.add(Error, Unreachable, fmt.Sprintf("no TLS at %s: %v", address, err), "start the server with its certificate, and let its port through the firewall")
		return r
	}
	if state.Version < tls.VersionTLS12 {
		r.add(Error, OldProtocol, "the server speaks "+tls.VersionName(state.Version), "switch on TLS 1.2 or newer")
	}
	all := state.PeerCertificates
	r.Chain = r.order(all[0], all)
	r.checkLeaf(all[0], o)
	r.checkDates(o)
	r.checkTrust(o)
	r.fix(all)
	if block, _ := pem.Decode(unmark(certificates)); block != nil && !bytes.Equal(block.Bytes, all[0].Raw) {
		r.add(Error, ServedDiffers, "the server shows another certificate than the file has first", "load the file into the server, or see whether a load balancer answers instead")
	}
	return r
}

// Capture returns the chain that a server shows at host:port, as PEM, the host's
// certificate first: what openssl s_client -showcerts prints. Whoever trusts it
// without a look trusts whoever answered.
func Capture(ctx context.Context, address string) ([]byte, []*x509.Certificate, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host, address = address, net.JoinHostPort(address, "443")
	}
	state, err := handshake(ctx, address, host)
	if err != nil {
		return nil, nil, fmt.Errorf("fetch the certificates of %s: %w", address, err)
	}
	var b bytes.Buffer
	for _, c := range state.PeerCertificates {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes it
	}
	return b.Bytes(), state.PeerCertificates, nil
}
