package ldap

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	wire "github.com/go-ldap/ldap/v3"

	"github.com/rondo-ci/rondo/auth"
)

// ProviderName is the Provider of the identities.
const ProviderName = "ldap"

// A Config is what [New] takes besides the settings; its zero is silent.
type Config struct {
	Log *slog.Logger
	// Roots are the authorities that may sign the servers' certificates, asked
	// for at each connection, unless the settings name some. nil are those of
	// the system.
	Roots func() *x509.CertPool
	// Observe is called after each login and lookup, for metrics: operation is
	// login or lookup; outcome is ok, the Reason of a [Refusal], or error.
	Observe func(operation, outcome string, took time.Duration)
}

// A Directory is one tree on one or more servers. All methods may be called at
// once; no connection is made before the first of them needs one.
type Directory struct {
	s       Settings
	log     *slog.Logger
	observe func(operation, outcome string, took time.Duration)
	servers []server
	roots   func() *x509.CertPool

	searchers *keep // bound as the search user
	provers   *keep // bound as whoever came last, or as nobody
	graph     *graph

	mu   sync.Mutex
	down map[server]time.Time // until when it comes last
}

var _ auth.Provider = (*Directory)(nil)

// New returns the directory of the settings, whose mistakes it tells as
// [Settings.Complete] does. It connects to nothing.
func New(s Settings, cfg Config) (*Directory, error) {
	s, err := s.Complete()
	if err != nil {
		return nil, fmt.Errorf("ldap settings: %w", err)
	}
	d := &Directory{
		s: s, log: cfg.Log, observe: cfg.Observe, servers: s.servers(), roots: cfg.Roots,
		searchers: newKeep(s.Network.Connections), provers: newKeep(s.Network.Connections), graph: newGraph(), down: map[server]time.Time{},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if s.Encryption == Plain && !s.local() {
		d.log.Warn("passwords go to the directory unencrypted; set encryption to starttls or ldaps", "server", s.Hostname)
	}
	if own := pool(s.Network.CA); own != nil || d.roots == nil {
		d.roots = func() *x509.CertPool { return own }
	}
	if d.observe == nil {
		d.observe = func(string, string, time.Duration) {}
	}
	return d, nil
}

// Name returns [ProviderName].
func (d *Directory) Name() string { return ProviderName }

// patience is how long a login may take in all, with servers that hang.
func (d *Directory) patience() time.Duration { return 3 * d.s.Network.Timeout }

// Login finds the one entry with the login, binds as it with the password and
// reads its groups, which may be remembered from some minutes ago as far as
// they are above others: the identity's AsOf says so. Whoever is not let in gets a [Refusal], whose text is for
// operators; tell the person [Refused]. Any other error means that the
// directory could not be asked, and is no verdict on the person.
func (d *Directory) Login(ctx context.Context, login, password string) (auth.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience())
	defer cancel()
	began := time.Now()
	id, err := d.login(ctx, nil, login, password)
	d.done("login", began, err)
	if err != nil {
		return auth.Identity{}, fmt.Errorf("ldap login: %w", err)
	}
	return id, nil
}

func (d *Directory) done(operation string, began time.Time, err error) {
	outcome := "ok"
	var r *Refusal
	if errors.As(err, &r) {
		outcome = r.Reason
	} else if err != nil {
		outcome = "error"
	}
	d.observe(operation, outcome, time.Since(began))
}

// login is Login; with a trace it takes down what it does, and leaves out the
// bind if there is no password.
func (d *Directory) login(ctx context.Context, tr *tracer, typed, password string) (auth.Identity, error) {
	login, ok := cleanLogin(typed)
	if !ok {
		return auth.Identity{}, refuse("login", "a login is 1 to %d bytes of text", maxLogin)
	}
	if password == "" && tr == nil {
		return auth.Identity{}, refuse("password", "the password is empty")
	}
	entry, err := d.find(ctx, tr, login)
	if err != nil {
		var r *Refusal
		if errors.As(err, &r) && password != "" {
			if asked := d.pretend(ctx, password); asked != nil {
				return auth.Identity{}, asked
			}
		}
		return auth.Identity{}, err
	}
	if err := d.userBind(ctx, tr, entry, password); err != nil {
		return auth.Identity{}, err
	}
	return d.admit(ctx, tr, entry, login, password != "")
}

func (d *Directory) userBind(ctx context.Context, tr *tracer, entry *wire.Entry, password string) error {
	const step = "user bind"
	if password == "" {
		tr.skip(step, "left out: no password was given")
		return nil
	}
	return tr.step(step, "a bind as "+entry.DN, d.whoAmI(tr, entry.DN), func() (string, error) {
		if err := d.prove(ctx, entry.DN, password); err != nil {
			return "", d.worse(entry, err)
		}
		return "the password is right", nil
	})
}

// worse returns what the entry says against the person if that explains more
// than the refused bind: OpenLDAP has one word for all that bars an account.
func (d *Directory) worse(entry *wire.Entry, err error) error {
	var r *Refusal
	if errors.As(err, &r) && r.Code == "" && (r.Reason == "password" || r.Reason == "locked") {
		if b := d.barred(entry, time.Now()); b != nil {
			b.Advice += "; the password may be wrong too"
			return b
		}
	}
	return err
}

// admit reads what the entry and its groups say, and decides. Proven is that
// the directory has just accepted the password: then a lock that the entry
// still shows is over, which OpenLDAP tidies up with that bind only.
func (d *Directory) admit(ctx context.Context, tr *tracer, entry *wire.Entry, login string, proven bool) (auth.Identity, error) {
	var id auth.Identity
	err := tr.step("attributes", "subject, login, name and mail of the entry", "", func() (said string, err error) {
		if id, err = d.identity(entry, login); err != nil {
			return "", err
		}
		return fmt.Sprintf("subject %s, login %s, name %s, mail %.300q", clip(id.Subject), clip(id.Login), clip(id.Name), id.Emails), nil
	})
	if err != nil {
		return id, err
	}
	var in groups
	err = d.search(ctx, tr, func(s searcher) (err error) {
		s.remembers = proven && tr == nil
		in, id.AsOf, err = s.groups(entry)
		return err
	})
	if err != nil {
		return id, fmt.Errorf("groups of %.200q: %w", entry.DN, err)
	}
	id.Groups = in.names()
	id.Role = in.role(d.s.Groups.Roles)
	return id, tr.step("decision", "may this person log in, and as what", "", func() (string, error) {
		if r := d.barred(entry, time.Now()); r != nil && !(proven && r.Reason == "locked") {
			return "", r
		}
		if g := d.s.Groups.Required; g != "" && !in.has(g) {
			return "", refuse("group", "%.200q is not in the required group %.200q", entry.DN, g)
		}
		role := "no role of the installation"
		if id.Role != auth.RoleNone {
			role = "role " + string(id.Role)
		}
		return fmt.Sprintf("may log in, with %s, in %d groups: %.500q", role, len(id.Groups), id.Groups), nil
	})
}

// Lookup returns the identity of the subject as it is now, with nothing that is
// remembered. Who is deleted,
// disabled, expired, locked, outside of user_search_dn or not in the required
// group any more is a [Refusal] that is [ci.ErrNotFound]. Any other error means
// that the directory could not be asked.
func (d *Directory) Lookup(ctx context.Context, subject string) (auth.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience())
	defer cancel()
	began := time.Now()
	id, err := d.lookup(ctx, subject)
	var r *Refusal
	if errors.As(err, &r) {
		r.lookup = true
	}
	d.done("lookup", began, err)
	if err != nil {
		return auth.Identity{}, fmt.Errorf("ldap lookup of %.100q: %w", subject, err)
	}
	return id, nil
}

func (d *Directory) lookup(ctx context.Context, subject string) (auth.Identity, error) {
	entry, err := d.findSubject(ctx, subject)
	if err != nil {
		return auth.Identity{}, err
	}
	if !within(entry.DN, d.s.UserSearchDN) {
		return auth.Identity{}, refuse("moved", "%.200q is not below user_search_dn any more", entry.DN)
	}
	return d.admit(ctx, nil, entry, "", false)
}
