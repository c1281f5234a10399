package mask

// heads finds patterns by their first four bytes.
type heads struct {
	// filter has a bit per hash of the first four bytes; nearly all positions
	// of a text are dismissed by it.
	filter [filterBits / 64]uint64
	table  []head // open addressing; its length is a power of two
}

// filterBits make 32 KiB: it stays in the first cache, and twenty thousand
// patterns fill a tenth of it.
const filterBits = 1 << 18

// A head is the four bytes that patterns[lo:hi] begin with. hi is 0 in a free
// place.
type head struct {
	bytes  uint32
	lo, hi int32
}

// spread makes a hash of four bytes; its upper bits are the better ones.
func spread(b uint32) uint32 { return b * 0x9E3779B1 }

// newHeads returns those of sorted patterns.
func newHeads(patterns []string) heads {
	var h heads
	size := 8
	for size < 2*len(patterns) {
		size *= 2
	}
	h.table = make([]head, size)
	for lo := 0; lo < len(patterns); {
		b := load(patterns[lo])
		hi := lo + 1
		for hi < len(patterns) && load(patterns[hi]) == b {
			hi++
		}
		bit := bitOf(b)
		h.filter[bit>>6] |= 1 << (bit & 63)
		i := h.slot(b)
		for h.table[i].hi != 0 {
			i = (i + 1) & (size - 1)
		}
		h.table[i] = head{b, int32(lo), int32(hi)}
		lo = hi
	}
	return h
}

// bitOf returns which bit of the filter stands for the bytes.
func bitOf(b uint32) uint32 { return spread(b) / (1 << 32 / filterBits) }

func (h *heads) slot(b uint32) int { return int(spread(b)>>8) & (len(h.table) - 1) }

// find returns the bounds of the patterns that begin with the bytes; the same
// twice if none does.
func (h *heads) find(b uint32) (lo, hi int) {
	if bit := bitOf(b); h.filter[bit>>6]&(1<<(bit&63)) == 0 {
		return 0, 0
	}
	for i := h.slot(b); h.table[i].hi != 0; i = (i + 1) & (len(h.table) - 1) {
		if h.table[i].bytes == b {
			return int(h.table[i].lo), int(h.table[i].hi)
		}
	}
	return 0, 0
}

// skip returns the first position from i on where a pattern may begin. In the
// last three bytes of the text one always may.
func (h *heads) skip(text string, i int) int {
	if len(text)-i < minLength {
		return i
	}
	b := uint32(text[i])<<8 | uint32(text[i+1])<<16 | uint32(text[i+2])<<24
	for ; i+3 < len(text); i++ {
		b = b>>8 | uint32(text[i+3])<<24
		bit := bitOf(b)
		if h.filter[bit>>6]&(1<<(bit&63)) != 0 {
			return i
		}
	}
	return i
}
