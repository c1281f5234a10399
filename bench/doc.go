// Package bench measures Rondo against a floor: the least that a CI server
// could do for the same work, built into the same program and measured in the
// same run. Its figures are ratios; absolute times differ between machines.
// There is nothing to import here: run make bench.
package bench
