package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// ldapSettings are the fields of the guide's form, and what goes beyond it.
type ldapSettings struct {
	Type             ldap.Type       `yaml:"type"` // openldap or active-directory
	Hostname         string          `yaml:"hostname"`
	Port             int             `yaml:"port"`
	Encryption       ldap.Encryption `yaml:"encryption"` // plain, starttls or ldaps
	SearchUser       string          `yaml:"search_user"`
	SearchPassword   secretRef       `yaml:"search_password"`
	BaseDN           string          `yaml:"base_dn"`
	UserSearchDN     string          `yaml:"user_search_dn"`
	UsernameField    string          `yaml:"username_field"`
	GroupMembership  string          `yaml:"group_membership"`
	GroupObjectClass string          `yaml:"group_object_class"`
	// The login and the password that "ldap test" takes if it is given none.
	TestUsername string    `yaml:"test_username"`
	TestPassword secretRef `yaml:"test_password"`

	ldapNetwork `yaml:",inline"`
	ldapPeople  `yaml:",inline"`
	ldapGroups  `yaml:",inline"`
}

// ldapNetwork says how to reach the servers.
type ldapNetwork struct {
	Servers        []string      `yaml:"servers"` // host:port of more of them
	CA             string        `yaml:"ca"`      // file of certificates in PEM
	ServerName     string        `yaml:"server_name"`
	AllowPlaintext bool          `yaml:"allow_plaintext"`
	Timeout        time.Duration `yaml:"timeout"`
	Connections    int           `yaml:"connections"`
}

// ldapPeople name the attributes of people.
type ldapPeople struct {
	UserObjectClass string `yaml:"user_object_class"`
	SubjectField    string `yaml:"subject_field"`
	EmailField      string `yaml:"email_field"`
	NameField       string `yaml:"name_field"`
}

// ldapGroups say which groups count.
type ldapGroups struct {
	GroupSearchDN string      `yaml:"group_search_dn"`
	NestedGroups  ldap.Nested `yaml:"nested_groups"` // off, chain, expand or memberof
	GroupDepth    int         `yaml:"group_depth"`
	RequiredGroup string      `yaml:"required_group"`
	GroupRoles    []ldapRole  `yaml:"group_roles"` // the first that fits counts
}

type ldapRole struct {
	Group string    `yaml:"group"`
	Role  auth.Role `yaml:"role"`
}

// check tells what is wrong with the settings, without reading secrets.
func (l *ldapSettings) check() error {
	if err := l.SearchPassword.check("ldap.search_password", true); err != nil {
		return err
	}
	if err := l.TestPassword.check("ldap.test_password", false); err != nil {
		return err
	}
	s := l.settings()
	s.SearchPassword = "it is read later"
	if _, err := s.Complete(); err != nil {
		return fmt.Errorf("ldap: %w", err)
	}
	return nil
}

// settings returns the words of package ldap, without what has to be read.
func (l *ldapSettings) settings() ldap.Settings {
	s := ldap.Settings{
		Type: l.Type, Hostname: l.Hostname, Port: l.Port, Encryption: l.Encryption, SearchUser: l.SearchUser,
		BaseDN: l.BaseDN, UserSearchDN: l.UserSearchDN, UsernameField: l.UsernameField,
		GroupMembership: l.GroupMembership, GroupObjectClass: l.GroupObjectClass,
		Network: ldap.Network{Others: l.Servers, CAFile: l.CA, ServerName: l.ServerName, AllowPlaintext: l.AllowPlaintext, Timeout: l.Timeout, Connections: l.Connections},
		People:  ldap.People{ObjectClass: l.UserObjectClass, Subject: l.SubjectField, Email: l.EmailField, Name: l.NameField},
		Groups:  ldap.Groups{SearchDN: l.GroupSearchDN, Nested: l.NestedGroups, Depth: l.GroupDepth, Required: l.RequiredGroup},
	}
	for _, r := range l.GroupRoles {
		s.Groups.Roles = append(s.Groups.Roles, ldap.RoleOf{Group: r.Group, Role: r.Role})
	}
	return s
}

// directory returns the directory of the settings. It connects to nothing.
func (l *ldapSettings) directory(cfg ldap.Config) (*ldap.Directory, error) {
	s := l.settings()
	var err error
	if s.SearchPassword, err = l.SearchPassword.read(); err != nil {
		return nil, fmt.Errorf("ldap.search_password: %w", err)
	}
	if l.CA != "" {
		if s.Network.CA, err = os.ReadFile(l.CA); err != nil {
			return nil, fmt.Errorf("ldap.ca: %w", err)
		}
	}
	return ldap.New(s, cfg)
}

func ldapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ldap",
		Short: "Try the directory that people log in with",
		Long: `People can log in with the passwords of an OpenLDAP or an Active Directory. The
settings say where it is:

  ldap:
    type: openldap                   # or active-directory
    hostname: ldap.example.org
    port: 389                        # 636 with ldaps
    encryption: starttls             # or ldaps; plain needs allow_plaintext: true
    search_user: cn=admin,dc=example,dc=org
    search_password: file:/etc/rondo/ldap-password
    base_dn: dc=example,dc=org
    user_search_dn: ou=users         # below base_dn; others may not log in
    username_field: uid              # what people type: uid, mail, sAMAccountName
    group_membership: uniqueMember   # the default; in Active Directory member
    group_object_class: groupOfUniqueNames # the default; in Active Directory group
    test_username: ada               # whom ldap test takes
    test_password: env:LDAP_TEST_PASSWORD

All of the following may be left out:

    servers: [ldap2.example.org:389] # of the same content, tried in turn
    ca: /etc/rondo/ldap-ca.pem       # who alone may sign the server's certificate; default as all trust
    server_name: ldap.example.org    # the name in it
    timeout: 5s
    connections: 8
    required_group: ci-users         # name or DN; nested groups count
    group_roles:                     # the first that fits counts
      - {group: ci-admins, role: all}
    nested_groups: expand            # off, expand, memberof; chain in Active Directory
    group_search_dn: ou=groups
    group_depth: 20
    user_object_class: inetOrgPerson # in Active Directory user
    subject_field: entryUUID         # what never changes; objectGUID, ipaUniqueID, dn
    email_field: mail
    name_field: displayName`,
	}
	cmd.AddCommand(ldapTestCommand(), ldapUsersCommand())
	return cmd
}

func ldapTestCommand() *cobra.Command {
	var file string
	var ask bool
	cmd := &cobra.Command{
		Use:   "test [LOGIN]",
		Short: "Log in as somebody and show every step",
		Long: `Test does what a login does, over connections of its own, and prints each
step: what is asked, the same as a command line of ldapsearch, the answer and
what to do about it. Passwords are in none of it.

Without a LOGIN it takes test_username of the settings. The password is
test_password of the settings, or asked for with --password; with neither, the
step that needs it is left out.`,
		Example: `  rondo-server ldap test --config rondo.yml ada@example.org
  rondo-server ldap test --config rondo.yml --password ada@example.org`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(file)
			if err == nil && s.LDAP == nil {
				err = fmt.Errorf("%s: there is no ldap in it", file)
			}
			if err != nil {
				return usageError{err}
			}
			login, password, err := s.LDAP.who(cmd, args, ask)
			if err != nil {
				return err
			}
			r, err := s.reach(nil)
			if err != nil {
				return err
			}
			d, err := s.LDAP.directory(ldap.Config{Roots: r.roots.Pool})
			if err != nil {
				return usageError{err}
			}
			defer d.Close()
			trace := d.Test(cmd.Context(), login, password)
			if err := trace.Print(cmd.OutOrStdout()); err != nil {
				return err
			}
			if trace.Err != nil {
				return fmt.Errorf("ldap test: %.100q may not log in: see the last step", login)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().BoolVar(&ask, "password", false, "ask for the password on the terminal")
	return cmd
}

// who returns whom to try.
func (l *ldapSettings) who(cmd *cobra.Command, args []string, ask bool) (login, password string, err error) {
	login = l.TestUsername
	if len(args) == 1 {
		login = args[0]
	}
	switch {
	case login == "":
		return "", "", usageError{errors.New("whom should it try? Name a LOGIN, or set ldap.test_username")}
	case ask:
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "Password of %s: ", login); err != nil {
			return "", "", err
		}
		text, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		if err != nil {
			return "", "", fmt.Errorf("read the password: %w", err)
		}
		return login, string(text), nil
	case l.TestPassword != "" && login == l.TestUsername:
		if password, err = l.TestPassword.read(); err != nil {
			return "", "", fmt.Errorf("ldap.test_password: %w", err)
		}
	}
	return login, password, nil
}
