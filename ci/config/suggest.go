package config

import "strings"

// suggest returns "did you mean prefix+x?" for the known word that is closest
// to the given one, or "" when none is close.
func suggest(word string, known []string, prefix string) string {
	if w := nearest(word, known); w != "" {
		return "did you mean " + prefix + w + "?"
	}
	return ""
}

// listed is a hint that lists what there is, "" when there is nothing.
func listed(what string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	return what + " " + clip(strings.Join(known, ", "), 200)
}

// nearest returns the known word with the smallest edit distance, "" when
// that is more than a third of its length.
func nearest(word string, known []string) string {
	best, at := "", len(word)/3+1
	if len(word) > 80 {
		return ""
	}
	folded := fold(word)
	for _, k := range known {
		if k == word || len(k) > len(word)+at || len(k)+at < len(word) {
			continue
		}
		d := distance(folded, fold(k))
		if d < at || d == at && best == "" && d < len(word) && len(word) > 3 {
			best, at = k, d
		}
	}
	return best
}

// fold makes spellings equal that people mix up: case, - and _.
func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// distance is the number of letters to insert, delete, change or swap with
// the next one to get from a to b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
