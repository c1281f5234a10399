package support

import (
	"regexp"
	"slices"
	"strings"
)

// Mark stands in place of what was taken away.
const Mark = "<redacted>"

// A look is how secrets of one kind look. What is in its first group goes; without
// a group, all of it.
type look struct {
	name string
	is   *regexp.Regexp
}

// A Redactor takes secrets out of text. It never changes and is safe for
// concurrent use.
type Redactor struct {
	known []string
	looks []look
}

// minKnown is how long a known secret is at least: shorter ones would take half
// of every text away.
const minKnown = 6

// New returns a redactor that also knows these secrets, each as it is and line
// by line. Those of less than 6 bytes are left out.
func New(secrets ...string) *Redactor {
	r := &Redactor{looks: looks()}
	for _, s := range secrets {
		for _, part := range append(strings.Split(s, "\n"), s) {
			if part = strings.TrimSpace(part); len(part) >= minKnown && !slices.Contains(r.known, part) {
				r.known = append(r.known, part)
			}
		}
	}
	slices.SortFunc(r.known, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
	return r
}

// looks are the kinds that are known by sight.
func looks() []look {
	of := func(name, pattern string) look { return look{name, regexp.MustCompile(pattern)} }
	const word = `(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|credentials?|cookie|authorization|signature)`
	return []look{
		of("private key", `-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY[A-Z ]*-----|\z)`),
		of("private key", `PuTTY-User-Key-File-(?s:.*?)Private-MAC: \S+`),
		of("address", `[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@"']*:([^\s@"']+)@`),
		of("JWT", `\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.?[A-Za-z0-9_-]*`),
		of("GitHub", `\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})`),
		of("GitLab", `\bglpat-[A-Za-z0-9_-]{16,}`),
		of("Slack", `\bxox[a-z]-[A-Za-z0-9-]{10,}`),
		of("Stripe", `\b[rs]k_(?:live|test)_[A-Za-z0-9]{10,}`),
		of("npm", `\bnpm_[A-Za-z0-9]{20,}`),
		of("Vault", `\b(?:hvs|hvb|hvr)\.[A-Za-z0-9_-]{20,}`),
		of("Google", `\bAIza[A-Za-z0-9_-]{30,}`),
		of("Rondo", `\brondo_[A-Za-z0-9_-]{16,}`),
		of("CircleCI", `\bCCI[A-Z]{2,4}_[A-Za-z0-9_-]{16,}`),
		of("AWS", `\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}`),
		of("scheme", `(?i)\b(?:bearer|basic|digest)\s+([A-Za-z0-9._~+/=-]{8,})`),
		of("word", `(?i)\b[a-z0-9_.-]*`+word+`[a-z0-9_]*["']?[ \t]*(?:[:=]|=>)[ \t]*(?:[a-z]+[ \t]+)?("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s"',;{}\[\]&][^\s"',;}\]&]*)`),
		of("argument", `(?i)--?[a-z0-9-]*`+word+`[a-z0-9-]*\s+([^\s-][^\s]*)`),
	}
}

// reference is what settings hold in place of a secret: where it is, or that
// there is none.
var reference = regexp.MustCompile(`^["']?(?:null|true|false|~|-|env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\s"']*)["']?$`)

// Text returns the text without secrets, and how many were taken away.
// References to secrets (env:NAME, file:PATH) stay.
func (r *Redactor) Text(text string) (string, int) {
	n := 0
	for _, secret := range r.known {
		if c := strings.Count(text, secret); c > 0 {
			n += c
			text = strings.ReplaceAll(text, secret, Mark)
		}
	}
	for _, l := range r.looks {
		text = replace(l.is, text, &n)
	}
	return text, n
}

// replace takes away what the pattern finds, or its group.
func replace(is *regexp.Regexp, text string, n *int) string {
	var b strings.Builder
	at := 0
	for _, m := range is.FindAllStringSubmatchIndex(text, -1) {
		from, to := m[0], m[1]
		if len(m) > 2 && m[2] >= 0 {
			from, to = m[2], m[3]
		}
		if found := text[from:to]; strings.Contains(found, Mark) || reference.MatchString(found) {
			continue
		}
		if to-from > 1 && (text[from] == '"' || text[from] == '\'') && text[to-1] == text[from] {
			from, to = from+1, to-1 // JSON stays JSON
		}
		b.WriteString(text[at:from])
		b.WriteString(Mark)
		at = to
		*n++
	}
	b.WriteString(text[at:])
	return b.String()
}
