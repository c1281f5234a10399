package vmservicetest

import (
	"context"
	"encoding/base64"

	"github.com/rondo-ci/rondo/ci"
)

// A PlainKeeper seals documents without hiding anything: storage/secrets has the
// real one.
type PlainKeeper struct{}

// SealDoc implements [vmservice.Keeper].
func (PlainKeeper) SealDoc(_ context.Context, d ci.Doc, plain []byte) (ci.Doc, error) {
	d.Sealed = base64.StdEncoding.EncodeToString(plain)
	return d, nil
}

// OpenDoc implements [vmservice.Keeper].
func (PlainKeeper) OpenDoc(_ context.Context, d ci.Doc) ([]byte, error) {
	return base64.StdEncoding.DecodeString(d.Sealed)
}
