package config

import "sync"

// cacheOrbs is how many orbs a cache keeps.
const cacheOrbs = 128

// A Cache keeps orbs that have been read, so that the next compile that
// imports one need not read it again; [Options.Orbs] is still asked each time.
// The zero Cache is ready. It may serve many compiles at once, and results do
// not depend on it.
type Cache struct {
	mu   sync.Mutex
	orbs map[string]cachedOrb // by exact reference
}

// A cachedOrb is the text of an orb and the nodes it was read into.
type cachedOrb struct {
	text string
	root *node
}

// get returns the nodes of a text, or nil when it is not there.
func (c *Cache) get(resolved, text string, l Limits) *node {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.orbs[resolved]
	if o.root == nil || o.text != text || len(text) > l.Source || int(o.root.size) > l.Nodes || int(o.root.depth) > l.Depth {
		return nil
	}
	return o.root
}

// put keeps the nodes of a text.
func (c *Cache) put(resolved, text string, root *node) {
	if c == nil || root == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orbs == nil {
		c.orbs = make(map[string]cachedOrb)
	}
	for old := range c.orbs {
		if len(c.orbs) < cacheOrbs {
			break
		}
		delete(c.orbs, old)
	}
	c.orbs[resolved] = cachedOrb{text, root}
}
