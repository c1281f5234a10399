package secrets

import (
	"encoding/binary"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/internal/plain"
)

// PlaceOf returns the place of a document's sealed part: its kind, scope, ID
// and name. Version and Body are not in it, so a document may be changed
// without sealing anew, but not renamed or moved.
func PlaceOf(d ci.Doc) []string {
	name := d.Name
	if name == "" {
		name = d.ID // as [ci.Docs] keeps it
	}
	return []string{plain.Text(d.Kind), plain.Text(d.Scope), plain.Text(d.ID), plain.Text(name)}
}

// binding returns what binds a text to its place, and to the age of its data
// key. Each part has its length before it, so that no two places look the same.
func binding(install string, place []string, born uint16) []byte {
	b := appendPart(nil, format)
	b = binary.BigEndian.AppendUint16(b, born)
	b = appendPart(b, install)
	b = binary.AppendUvarint(b, uint64(len(place)))
	for _, part := range place {
		b = appendPart(b, part)
	}
	return b
}

func appendPart(b []byte, part string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}
