package auth

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/unicode/norm"
)

// How many wrong logins there may be: an account has few, fewer than after
// which directories lock it, so that nobody locks others out through us; an
// address some more. One comes back after window divided by them.
const (
	window     = 15 * time.Minute
	perAccount = 4
	perAddress = 20
)

// maxBuckets is how many accounts and addresses are remembered, so that
// made-up ones take no more than some megabytes. More are forgotten in any
// order, those of addresses and accounts each among themselves.
const maxBuckets = 20_000

// limits remember wrong logins. A bucket holds when its last try was and how
// many are spent.
type limits struct {
	mu        sync.Mutex
	accounts  map[string]bucket
	addresses map[string]bucket
}

type bucket struct {
	spent float64
	at    time.Time
}

func newLimits() *limits {
	return &limits{accounts: map[string]bucket{}, addresses: map[string]bucket{}}
}

// begin takes a try of the account from the address, or returns after how long
// there is one. The try counts until [limits.forgive].
func (l *limits) begin(account, address string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, b := spent(l.accounts[account], perAccount, now), spent(l.addresses[address], perAddress, now)
	wait = max(missing(a, perAccount), missing(b, perAddress))
	if wait > 0 {
		return wait
	}
	set(l.accounts, account, bucket{a + 1, now})
	set(l.addresses, address, bucket{b + 1, now})
	return 0
}

// forgive gives a try back that was right.
func (l *limits) forgive(account, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.accounts, account)
	if b, ok := l.addresses[address]; ok {
		b.spent = max(0, b.spent-1)
		l.addresses[address] = b
	}
}

func spent(b bucket, most float64, now time.Time) float64 {
	return max(0, b.spent-most*float64(now.Sub(b.at))/float64(window))
}

func missing(spent, most float64) time.Duration {
	if spent+1 <= most {
		return 0
	}
	return time.Duration((spent + 1 - most) / most * float64(window))
}

func set(m map[string]bucket, key string, b bucket) {
	if _, ok := m[key]; !ok && len(m) >= maxBuckets {
		for old := range m {
			delete(m, old)
			break
		}
	}
	m[key] = b
}

// accountKey makes one of the spellings of a login.
func accountKey(login string) string {
	login = strings.ToLower(norm.NFKC.String(strings.TrimSpace(login)))
	if i := strings.LastIndexByte(login, '\\'); i >= 0 {
		login = login[i+1:]
	}
	login, _, _ = strings.Cut(login, "@")
	return login
}

// addressKey makes one of the addresses that one client can choose from.
func addressKey(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap()
	if a.Is6() {
		p, err := a.WithZone("").Prefix(64)
		if err == nil {
			return p.String()
		}
	}
	return a.String()
}
