package config

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// resolve decides what a plain scalar is, by the rules of YAML 1.1 as the
// original's parser applies them, and returns its canonical text. Timestamps
// stay strings, as does a bare y or n.
func resolve(s string) (kind, string) {
	if s == "" || s == "~" {
		return nullKind, ""
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9', c == '+', c == '-', c == '.':
		return resolveNumber(s)
	}
	if len(s) > 5 {
		return stringKind, s
	}
	switch s {
	case "null", "Null", "NULL":
		return nullKind, ""
	case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON":
		return boolKind, "true"
	case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF":
		return boolKind, "false"
	}
	return stringKind, s
}

// resolveNumber decides about a scalar that begins like a number.
func resolveNumber(s string) (kind, string) {
	body, sign := s, ""
	if s[0] == '+' || s[0] == '-' {
		body = s[1:]
		if s[0] == '-' {
			sign = "-"
		}
	}
	switch body {
	case "":
		return stringKind, s
	case ".inf", ".Inf", ".INF":
		return floatKind, sign + ".inf"
	case ".nan", ".NaN", ".NAN":
		if len(body) == len(s) {
			return floatKind, ".nan"
		}
		return stringKind, s
	}
	if strings.IndexByte(body, ':') > 0 {
		return resolveSexagesimal(s, sign, body)
	}
	if text, ok := integerText(sign, body); ok {
		return intKind, text
	}
	if isFloat(body) {
		f, err := strconv.ParseFloat(sign+strings.ReplaceAll(body, "_", ""), 64)
		if err == nil {
			return floatKind, floatText(f)
		}
	}
	return stringKind, s
}

// integerText returns the decimal text of an integer in base 2, 8, 10 or 16.
func integerText(sign, body string) (string, bool) {
	base, digits := 10, body
	switch {
	case strings.HasPrefix(body, "0b"):
		base, digits = 2, body[2:]
	case strings.HasPrefix(body, "0x"):
		base, digits = 16, body[2:]
	case len(body) > 1 && body[0] == '0':
		base, digits = 8, body[1:]
	}
	if digits == "" || digits[0] == '_' && base == 10 {
		return "", false
	}
	if strings.IndexByte(digits, '_') >= 0 {
		digits = strings.ReplaceAll(digits, "_", "")
	}
	if digits == "" || !allDigits(digits, base) {
		return "", false
	}
	if base == 10 && len(digits) < 19 {
		return sign + digits, true
	}
	if len(digits) > 200 {
		return "", false
	}
	n, ok := new(big.Int).SetString(sign+digits, base)
	if !ok {
		return "", false
	}
	return n.String(), true
}

func allDigits(s string, base int) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		var d int
		switch {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case c >= 'a' && c <= 'f':
			d = int(c-'a') + 10
		case c >= 'A' && c <= 'F':
			d = int(c-'A') + 10
		default:
			return false
		}
		if d >= base {
			return false
		}
	}
	return true
}

// isFloat reports whether an unsigned scalar has the form of a YAML 1.1 float:
// digits, a point, digits, an exponent; the point or the exponent may be
// missing, not both.
func isFloat(s string) bool {
	i, digits := 0, 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '_' && digits > 0) {
		i++
		digits++
	}
	point := i < len(s) && s[i] == '.'
	if point {
		i++
		if digits == 0 && (i == len(s) || s[i] < '0' || s[i] > '9') {
			return false
		}
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '_') {
			i++
		}
	}
	if digits == 0 && !point {
		return false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		start := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > start && i == len(s)
	}
	return point && i == len(s)
}

// floatText is the canonical text of a float; it is read back as a float.
func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	case math.IsNaN(f):
		return ".nan"
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if len(s) > 21 {
		s = strconv.FormatFloat(f, 'e', -1, 64)
		if strings.IndexByte(s, '.') < 0 {
			s = strings.Replace(s, "e", ".0e", 1)
		}
		return s
	}
	if strings.IndexByte(s, '.') < 0 {
		s += ".0"
	}
	return s
}

// resolveSexagesimal decides about 12:30:45 and its like: base 60.
func resolveSexagesimal(s, sign, body string) (kind, string) {
	whole, fraction, isFloat := strings.Cut(body, ".")
	parts := strings.Split(whole, ":")
	first := strings.ReplaceAll(parts[0], "_", "")
	if first == "" || !allDigits(first, 10) || !isFloat && first[0] == '0' || len(parts) > 8 {
		return stringKind, s
	}
	total, err := strconv.ParseInt(first, 10, 32)
	if err != nil {
		return stringKind, s
	}
	for _, p := range parts[1:] {
		d, err := strconv.ParseInt(p, 10, 32)
		if err != nil || len(p) > 2 || d > 59 || !allDigits(p, 10) || total > math.MaxInt64/61 {
			return stringKind, s
		}
		total = total*60 + d
	}
	if !isFloat {
		return intKind, sign + strconv.FormatInt(total, 10)
	}
	fraction = strings.ReplaceAll(fraction, "_", "")
	if fraction != "" && !allDigits(fraction, 10) {
		return stringKind, s
	}
	f, err := strconv.ParseFloat(sign+strconv.FormatInt(total, 10)+"."+fraction+"0", 64)
	if err != nil {
		return stringKind, s
	}
	return floatKind, floatText(f)
}
