package authtest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"

	wire "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestElement_RoundTrip(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 127, 128, -128, -129, 1 << 40, -(1 << 40)} {
		require.Equal(t, n, integer(tagInteger, n).number(), n)
	}
	m := sequence(tagSequence, integer(tagInteger, 7), sequence(opBind, integer(tagInteger, 3), octets("cn=x"), element{tag: 0x80, data: bytes.Repeat([]byte("p"), 300)}))
	got, err := readMessage(bufio.NewReader(bytes.NewReader(m.bytes())))
	require.NoError(t, err)
	require.Equal(t, m.bytes(), got.bytes())
	for _, bad := range [][]byte{{0x31, 0}, {0x30, 0x80}, {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, {0x30, 5, 2}, {0x30, 2, 0x1f, 0}, {0x30, 2, 4, 9}, bytes.Repeat([]byte{0x30, 0x7f}, 64)} {
		_, err := readMessage(bufio.NewReader(bytes.NewReader(bad)))
		require.Error(t, err, "%x", bad)
	}
}

// FuzzMessage: no bytes make the reader, or the server behind it, panic or hang.
func FuzzMessage(f *testing.F) {
	f.Add(sequence(tagSequence, integer(tagInteger, 1), sequence(opBind, integer(tagInteger, 3), octets(SearchUser), element{tag: 0x80, data: []byte(SearchPassword)})).bytes())
	filter, err := wire.CompileFilter("(&(objectClass=*)(!(cn=a*b))(|(uid>=1)(member:1.2.840.113556.1.4.1941:=cn=x)))")
	require.NoError(f, err)
	f.Add(append([]byte{0x30, byte(len(filter.Bytes()) + 29), 2, 1, 2, 0x63, byte(len(filter.Bytes()) + 24), 4, 0, 10, 1, 2, 10, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0}, append(filter.Bytes(), 0x30, 0)...))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := readMessage(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		for _, p := range []Persona{OpenLDAP, ActiveDirectory} {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			s := &session{d: NewDirectory(p), conn: ours, in: bufio.NewReader(ours), who: normal(SearchUser)}
			_ = s.handle(m)
			_ = ours.Close()
			_ = theirs.Close()
		}
	})
}
