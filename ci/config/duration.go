package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// maxDuration is the longest time a configuration may ask for.
const maxDuration = 30 * 24 * time.Hour

// parseDuration reads a time as the language writes it: a decimal number with
// the unit s, m, h or d, several of them one after the other ("1h30m"), or a
// bare number of seconds.
func parseDuration(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 64 {
		return 0, false
	}
	total := 0.0
	for s != "" {
		i := 0
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
			i++
		}
		v, err := strconv.ParseFloat(s[:i], 64)
		if err != nil || i == 0 {
			return 0, false
		}
		unit := strings.TrimLeft(s[i:], " ")
		j := 0
		for j < len(unit) && (unit[j] >= 'a' && unit[j] <= 'z' || unit[j] >= 'A' && unit[j] <= 'Z') {
			j++
		}
		scale, ok := durationUnits[unit[:j]]
		if !ok {
			return 0, false
		}
		total += v * scale
		s = strings.TrimLeft(unit[j:], " ")
	}
	d := total * float64(time.Second)
	if math.IsNaN(d) || d > float64(maxDuration) {
		return 0, false
	}
	return time.Duration(math.Round(d)), true
}

// durationUnits are the units in seconds. No unit is seconds.
var durationUnits = map[string]float64{
	"": 1, "ms": 0.001, "s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60,
	"h": 3600, "hr": 3600, "hour": 3600, "hours": 3600, "d": 86400,
}
