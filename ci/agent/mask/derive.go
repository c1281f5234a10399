package mask

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net/url"
	"strconv"
	"strings"
)

// lines passes every line of a value that has several to add.
func lines(secret string, add func(string)) {
	all := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(all) < 2 {
		return
	}
	for _, line := range all {
		for _, l := range []string{line, strings.TrimSpace(line)} {
			if len(l) >= longLength {
				add(l)
			}
		}
	}
}

// derive passes the forms of a secret in other notations to add.
func derive(secret string, add func(string)) {
	value := strings.TrimRight(secret, "\r\n")
	for _, v := range []string{secret, value} {
		for _, form := range forms(v) {
			add(strings.TrimRight(form, "\r\n"))
		}
		if secret == value {
			break
		}
	}
}

// forms returns what the value looks like in other notations.
func forms(v string) []string {
	query, path := url.QueryEscape(v), url.PathEscape(v)
	f := []string{
		query, path, strings.ReplaceAll(query, "+", "%20"),
		lowerPercent(query), lowerPercent(path), lowerPercent(strings.ReplaceAll(query, "+", "%20")),
		inner(strconv.Quote(v)),
		inner(strconv.QuoteToASCII(v)),
		strings.ReplaceAll(v, `'`, `'\''`), // as a shell prints it in single quotes
		shellEscape(v),
		strings.NewReplacer(`\"`, `"`, `'`, `\'`).Replace(inner(strconv.Quote(v))), // $'...'
		strings.ReplaceAll(v, "\n", "\r\n"),
		strings.ReplaceAll(v, "\n", `\n`),
	}
	if b, err := json.Marshal(v); err == nil {
		f = append(f, inner(string(b)))
	}
	var plain strings.Builder
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if e.Encode(v) == nil {
		f = append(f, inner(strings.TrimSpace(plain.String())))
	}
	var x strings.Builder
	if xml.EscapeText(&x, []byte(v)) == nil {
		f = append(f, x.String(), strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(x.String()))
	}
	h := hex.EncodeToString([]byte(v))
	return append(append(f, h, strings.ToUpper(h)), base64Forms(v)...)
}

// lowerPercent returns an escaped URL with the hexadecimal digits in lower
// case, as some write them.
func lowerPercent(escaped string) string {
	b := []byte(escaped)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(escaped[i+1:i+3]))
		}
	}
	return string(b)
}

// inner returns what is between the quotes.
func inner(quoted string) string {
	if len(quoted) < 2 {
		return quoted
	}
	return quoted[1 : len(quoted)-1]
}

// shellEscape puts a backslash before what a shell would read, as printf %q
// does.
func shellEscape(v string) string {
	var b strings.Builder
	for i := range len(v) {
		if strings.IndexByte(" !\"#$&'()*,;<>?[\\]^`{|}~", v[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

// base64Forms returns the value in base64: alone, and the part that does not
// depend on its neighbours when it is encoded with other text around it.
func base64Forms(v string) []string {
	var f []string
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		whole := enc.EncodeToString([]byte(v))
		f = append(f, whole, strings.TrimRight(whole, "="))
		for shift := range 3 {
			// The first characters carry bits of what stands before, the last
			// one may carry bits of what stands behind.
			text := enc.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, shift), v...))
			start := (shift*8 + 5) / 6
			end := (shift + len(v)) * 8 / 6
			f = append(f, text[start:end])
		}
		// Tools break the lines.
		for _, width := range []int{64, 76} {
			for i := 0; len(whole) > width && i < len(whole); i += width {
				if line := whole[i:min(i+width, len(whole))]; len(line) >= longLength {
					f = append(f, line)
				}
			}
		}
	}
	return f
}
