package config

import (
	"fmt"
	"strconv"
	"strings"
)

// cronFields are the five fields of a schedule with their ranges.
var cronFields = []struct {
	name      string
	low, high int
	words     string // names, separated by blanks, from low on
}{
	{"minute", 0, 59, ""},
	{"hour", 0, 23, ""},
	{"day of the month", 1, 31, ""},
	{"month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"},
	{"day of the week", 0, 7, "sun mon tue wed thu fri sat"},
}

// checkCron returns what is wrong with the text of a schedule: five fields of
// numbers, names, ranges, lists and steps. "" is nothing.
func checkCron(s string) string {
	if len(s) > 256 {
		return "it is longer than 256 characters"
	}
	fields := strings.Fields(s)
	if len(fields) != len(cronFields) {
		return fmt.Sprintf("it has %d fields", len(fields))
	}
	for i, f := range fields {
		for part := range strings.SplitSeq(f, ",") {
			if err := checkCronPart(part, i); err != "" {
				return "the " + cronFields[i].name + ": " + err
			}
		}
	}
	return ""
}

// checkCronPart checks one member of a list.
func checkCronPart(part string, field int) string {
	f := cronFields[field]
	base, step, stepped := strings.Cut(part, "/")
	if stepped {
		n, err := strconv.Atoi(step)
		if err != nil || n < 1 || n > f.high || step[0] == '+' {
			return fmt.Sprintf("%q is not a step", step)
		}
	}
	if base == "*" {
		return ""
	}
	from, to, ranged := strings.Cut(base, "-")
	low, ok := cronNumber(from, field)
	if !ok {
		return fmt.Sprintf("%q is not in %d-%d", from, f.low, f.high)
	}
	if ranged {
		high, ok := cronNumber(to, field)
		if !ok {
			return fmt.Sprintf("%q is not in %d-%d", to, f.low, f.high)
		}
		if high < low {
			return fmt.Sprintf("the range %s ends before it begins", base)
		}
	}
	return ""
}

// cronNumber reads a number or a name.
func cronNumber(s string, field int) (int, bool) {
	f := cronFields[field]
	for i, w := range strings.Fields(f.words) {
		if strings.EqualFold(w, s) {
			return f.low + i, true
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= f.low && n <= f.high && s[0] != '+' && s[0] != '-'
}
