package secretstest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// Forms returns what a secret may look like where it must not be: as it is, in
// hex, base64 and URL form, as a Go slice of numbers.
func Forms(secret []byte) []string {
	return []string{
		string(secret),
		hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		strings.TrimRight(base64.StdEncoding.EncodeToString(secret), "="),
		strings.TrimRight(base64.URLEncoding.EncodeToString(secret), "="),
		url.QueryEscape(string(secret)),
		strings.Trim(fmt.Sprint(secret), "[]"),
	}
}
