package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// A Proof shows that an event is in the book that a checkpoint signs, to
// whoever has the key and nothing else.
type Proof struct {
	Line       string   `json:"line"`
	Checkpoint string   `json:"checkpoint"`
	Path       []string `json:"path"` // hashes from the leaf to the root
}

// Prove returns the proof for the event with that identity against the newest
// checkpoint. It verifies the bucket on the way. One that is in no file is
// [ci.ErrNotFound].
func Prove(ctx context.Context, bucket Bucket, key Key, id string) (Proof, error) {
	var leaves []Hash
	var line []byte
	at := -1
	mark, err := encode(id)
	if err != nil {
		return Proof{}, err
	}
	mark = append([]byte(`{"id":`), mark...)
	v := &verifier{seen: func(l Line) {
		if at < 0 && bytes.HasPrefix(l.Text, mark) {
			at, line = len(leaves), bytes.Clone(l.Text)
		}
		leaves = append(leaves, l.Hash)
	}}
	r, err := v.verify(ctx, bucket, key)
	if err != nil {
		return Proof{}, err
	}
	if at < 0 || uint64(at) >= r.Lines {
		return Proof{}, fmt.Errorf("prove: no file has the event %.100q; those of this hour are filed when it is over: %w", id, ci.ErrNotFound)
	}
	newest := ""
	for k, err := range bucket.List(ctx, CheckpointPrefix, "") {
		if err != nil {
			return Proof{}, err
		}
		newest = k
	}
	note, err := readAll(ctx, bucket, newest)
	if err != nil {
		return Proof{}, err
	}
	p := Proof{Line: string(line), Checkpoint: string(note), Path: []string{}}
	for _, h := range inclusion(leaves[:r.Lines], at) {
		p.Path = append(p.Path, h.String())
	}
	return p, nil
}

// Check reports whether the proof is good by the key, and returns the event.
// One that proves nothing is [ci.ErrInvalid].
func (p Proof) Check(key Key) (Event, error) {
	l, err := ParseLine([]byte(p.Line))
	if err != nil {
		return Event{}, fmt.Errorf("proof: its line: %w", err)
	}
	c, err := OpenCheckpoint([]byte(p.Checkpoint), key)
	if err != nil {
		return Event{}, fmt.Errorf("proof: its checkpoint: %w", err)
	}
	var path []Hash
	for _, text := range p.Path {
		var h Hash
		if raw, err := hex.DecodeString(strings.ToLower(text)); err != nil || copy(h[:], raw) != len(h) || len(raw) != len(h) {
			return Event{}, fmt.Errorf("proof: %.80q is no hash: %w", text, ci.ErrInvalid)
		}
		path = append(path, h)
	}
	root, err := climb(l.Hash, l.Seq-1, c.Size, path)
	if err == nil && root != c.Root {
		err = fmt.Errorf("proof: it does not lead to the root that %s signed: %w", c.Origin, ci.ErrInvalid)
	}
	if err != nil {
		return Event{}, err
	}
	return l.Event()
}

// ParseProof reads a proof as JSON.
func ParseProof(data []byte) (Proof, error) {
	var p Proof
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("proof: %v: %w", err, ci.ErrInvalid)
	}
	return p, nil
}
