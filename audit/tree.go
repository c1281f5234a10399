package audit

import (
	"crypto/sha256"
	"fmt"
	"math/bits"

	"github.com/rondo-ci/rondo/ci"
)

// leaf and node are the hashes of RFC 6962.
func leaf(data []byte) (h Hash) {
	s := sha256.New()
	s.Write([]byte{0})
	s.Write(data)
	s.Sum(h[:0])
	return h
}

func node(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// A tree is a Merkle tree that only grows: of its leaves it keeps the roots of
// the whole subtrees, the largest first, one for each bit of its size.
type tree struct {
	size  uint64
	roots []Hash
}

// add appends a leaf.
func (t *tree) add(h Hash) {
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.roots) - 1
		h, t.roots = node(t.roots[last], h), t.roots[:last]
	}
	t.roots = append(t.roots, h)
	t.size++
}

// root returns the hash over all leaves; that of none is SHA-256 of nothing.
func (t *tree) root() Hash {
	if len(t.roots) == 0 {
		return sha256.Sum256(nil)
	}
	h := t.roots[len(t.roots)-1]
	for i := len(t.roots) - 2; i >= 0; i-- {
		h = node(t.roots[i], h)
	}
	return h
}

// rootOf is the root over leaves that are there as a whole.
func rootOf(leaves []Hash) Hash {
	var t tree
	for _, h := range leaves {
		t.add(h)
	}
	return t.root()
}

// inclusion returns the hashes that lead from leaf i to the root.
func inclusion(leaves []Hash, i int) []Hash {
	if len(leaves) <= 1 {
		return nil
	}
	k := 1 << (bits.Len(uint(len(leaves)-1)) - 1)
	if i < k {
		return append(inclusion(leaves[:k], i), rootOf(leaves[k:]))
	}
	return append(inclusion(leaves[k:], i-k), rootOf(leaves[:k]))
}

// climb computes the root from a leaf and its proof (RFC 9162, 2.1.3.2).
func climb(h Hash, index, size uint64, path []Hash) (Hash, error) {
	if index >= size {
		return h, fmt.Errorf("proof: leaf %d is not in a tree of %d: %w", index, size, ci.ErrInvalid)
	}
	fn, sn := index, size-1
	for _, p := range path {
		if sn == 0 {
			return h, fmt.Errorf("proof: it is too long: %w", ci.ErrInvalid)
		}
		if fn&1 == 1 || fn == sn {
			h = node(p, h)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			h = node(h, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return h, fmt.Errorf("proof: it is too short: %w", ci.ErrInvalid)
	}
	return h, nil
}
