package mask

// Patterns returns everything that the set looks for.
func (s *Set) Patterns() []string { return s.patterns }
