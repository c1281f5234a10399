package vmservice_test

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// plainKeeper seals nothing: storage/secrets has the real one.
type plainKeeper struct{}

func (plainKeeper) SealDoc(_ context.Context, d ci.Doc, plain []byte) (ci.Doc, error) {
	d.Sealed = base64.StdEncoding.EncodeToString(plain)
	return d, nil
}

func (plainKeeper) OpenDoc(_ context.Context, d ci.Doc) ([]byte, error) {
	return base64.StdEncoding.DecodeString(d.Sealed)
}

// cutOwner splits the marker of a volume.
func cutOwner(owner string) (project, rest string, ok bool) { return strings.Cut(owner, "|") }
