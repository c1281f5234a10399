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

// longLength is the length from which a value is also looked for inside longer
// base64 text and in hex: shorter ones would match by chance.
const longLength = 8

// derive passes every form of the secret that differs from it to add.
func derive(secret string, add func(string)) {
	value := strings.TrimRight(secret, "\r\n")
	for _, v := range []string{secret, value} {
		for _, form := range forms(v) {
			add(strings.TrimRight(form, "\r\n"))
		}
	}
	if lines := strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' }); len(lines) > 1 {
		for _, line := range lines {
			add(line)
			add(strings.TrimSpace(line))
		}
	}
}

// forms returns what the value looks like in other notations.
func forms(v string) []string {
	f := []string{
		url.QueryEscape(v),
		url.PathEscape(v),
		strings.ReplaceAll(url.QueryEscape(v), "+", "%20"),
		inner(strconv.Quote(v)),
		inner(strconv.QuoteToASCII(v)),
		strings.ReplaceAll(v, `'`, `'\''`), // as a shell prints it in single quotes
		shellEscape(v),
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
	f = append(f, base64Forms(v)...)
	if len(v) >= longLength {
		h := hex.EncodeToString([]byte(v))
		f = append(f, h, strings.ToUpper(h))
	}
	return f
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
			if shift > 0 && len(v) < longLength {
				break
			}
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
