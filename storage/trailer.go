package storage

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// ErrCorrupt says that stored bytes are not those that were stored.
var ErrCorrupt = errors.New("stored bytes are damaged")

// The object of a file is its bytes and then a trailer: the name, and
// trailerSize bytes:
//
//	0  size    uint64  of the file
//	8  stored  int64   nanoseconds since 1970
//	16 SHA-256 32 bytes
//	48 name    uint32  its length
//	52 CRC-32C uint32  of all of the trailer before it
//	56 trailerMagic
//
// The sum is known only when all bytes have been seen, so it cannot stand in
// the object's metadata, and a second object for it would make two things of
// what must be there whole or not at all.
const (
	trailerSize  = 64
	trailerMagic = "rondofl1"
	trailerHint  = 1 << 10 // read at the end at once: most names and trailers
)

// appendTrailer appends the trailer of a file.
func appendTrailer(dst []byte, f ci.File) ([]byte, error) {
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("SHA-256 %.80q: %w", f.SHA256, ci.ErrInvalid)
	}
	at := len(dst)
	dst = append(dst, f.Name...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.Size))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.Stored.UnixNano()))
	dst = append(dst, sum...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.Name)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
	return append(dst, trailerMagic...), nil
}

// trailerNeeds returns how many bytes at the end of an object its trailer
// takes, given the last ones.
func trailerNeeds(tail []byte) (int, error) {
	if len(tail) < trailerSize || string(tail[len(tail)-len(trailerMagic):]) != trailerMagic {
		return 0, ErrCorrupt
	}
	n := binary.LittleEndian.Uint32(tail[len(tail)-trailerSize+48:])
	if n > maxCacheName {
		return 0, ErrCorrupt
	}
	return int(n) + trailerSize, nil
}

// parseTrailer reads the whole trailer of an object of the given size: name,
// size, sum and time of a file.
func parseTrailer(b []byte, object int64) (ci.File, error) {
	need, err := trailerNeeds(b)
	if err != nil || need != len(b) {
		return ci.File{}, ErrCorrupt
	}
	name, t := b[:need-trailerSize], b[need-trailerSize:]
	if crc32.Checksum(b[:need-12], castagnoli) != binary.LittleEndian.Uint32(t[52:]) {
		return ci.File{}, ErrCorrupt
	}
	f := ci.File{
		Name:   string(name),
		Size:   int64(binary.LittleEndian.Uint64(t)),
		Stored: time.Unix(0, int64(binary.LittleEndian.Uint64(t[8:]))).UTC(),
		SHA256: hex.EncodeToString(t[16:48]),
	}
	if f.Size != object-int64(need) {
		return ci.File{}, ErrCorrupt
	}
	return f, nil
}
