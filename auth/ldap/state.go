package ldap

import (
	"strconv"
	"strings"
	"time"

	wire "github.com/go-ldap/ldap/v3"
)

// Flags of userAccountControl and of the attribute that the domain controller
// computes (MS-ADTS, 2.2.16).
const (
	adDisabled = 0x2
	adLocked   = 0x10
)

// barred tells from the entry why the person may not log in, nil if there is
// nothing. What the search user may not read does not bar. An expired password
// ends no session: the person still belongs here.
func (d *Directory) barred(e *wire.Entry, now time.Time) *Refusal {
	if d.s.Type == ActiveDirectory {
		return barredInAD(e, now)
	}
	get := e.GetEqualFoldAttributeValue
	if strings.EqualFold(get("nsAccountLock"), "true") {
		return refuse("disabled", "nsAccountLock is set")
	}
	if t := get("pwdAccountLockedTime"); t != "" {
		if t == "000001010000Z" { // for good, says the draft of the policy
			return refuse("disabled", "an administrator has locked the account for good (pwdAccountLockedTime)")
		}
		return refuse("locked", "%s", policies[1].Advice)
	}
	if t, ok := generalTime(get("pwdEndTime")); ok && now.After(t) {
		return refuse("expired", "the account has ended on %s (pwdEndTime)", t.Format(time.RFC3339))
	}
	if t, ok := generalTime(get("pwdStartTime")); ok && now.Before(t) {
		return refuse("expired", "the account begins on %s only (pwdStartTime)", t.Format(time.RFC3339))
	}
	if days, err := strconv.ParseInt(get("shadowExpire"), 10, 32); err == nil && days >= 0 {
		if t := time.Unix(0, 0).UTC().AddDate(0, 0, int(days)); now.After(t) {
			return refuse("expired", "the account has expired on %s (shadowExpire)", t.Format(time.DateOnly))
		}
	}
	return nil
}

func barredInAD(e *wire.Entry, now time.Time) *Refusal {
	number := func(attribute string) int64 {
		n, err := strconv.ParseInt(e.GetEqualFoldAttributeValue(attribute), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	because := func(code string) *Refusal {
		r := bindCodes[code]
		r.Code = code
		return &r
	}
	switch expires := number("accountExpires"); {
	case number("userAccountControl")&adDisabled != 0:
		return because("533")
	case expires > 0 && expires < 1<<63-1 && now.After(fileTime(expires)):
		return because("701")
	case number("msDS-User-Account-Control-Computed")&adLocked != 0:
		return because("775")
	}
	return nil
}

// fileTime is a time of Windows: units of 100 ns since 1601.
func fileTime(t int64) time.Time {
	const epoch = 11644473600 // seconds from 1601 to 1970
	return time.Unix(t/1e7-epoch, t%1e7*100).UTC()
}

// generalTime reads a GeneralizedTime in UTC, with or without a fraction.
func generalTime(text string) (time.Time, bool) {
	for _, layout := range []string{"20060102150405Z", "20060102150405.999999999Z", "200601021504Z"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
