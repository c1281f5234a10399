// Package github is the border to GitHub and GitHub Enterprise: webhooks become
// triggers, commits and files are read by the REST API, outcomes become commit
// statuses.
//
// Its nouns are the [Host], which is github.com or one GitHub Enterprise, and
// the [Repo], one repository there. [Host.Handler] is the webhook door,
// [Host.Follow] makes a repository tell us of pushes, [Host.Run] sends the
// statuses and finds what a webhook missed.
//
// The package believes nothing that is not signed: a body is not even parsed
// before its HMAC is right. It never asks an address that came in a message or
// a header (only Config.URL), never lets a token leave for another host, and
// never writes a token, a webhook secret or a private key into an error or log.
// It keeps all it must remember as documents ([ci.Docs]), writes what it intends
// before it does it, and so may be killed at any point.
//
// # Setting up GitHub Enterprise
//
//  1. Make a user for Rondo and give it admin rights on the repositories that
//     are to be built (it makes their webhook and deploy key). Create a
//     classic token for it with the scopes repo and admin:repo_hook.
//  2. Set Config.URL to the address that people use, https://ghe.example.com.
//     The API is expected below /api/v3, as GitHub Enterprise has it; tenants of
//     ghe.com are known by their name.
//  3. If the certificate is from an own authority, build Config.Transport as an
//     [http.Transport] whose TLSClientConfig.RootCAs has it, and make sure that
//     the appliance sends its intermediate certificates. The same transport
//     carries a proxy, if there is one.
//  4. Set Config.Server to the address under which the appliance reaches Rondo;
//     webhooks go to {Server}/hooks/github. If that is a private address, allow
//     it in the appliance's management console (outbound webhook restrictions).
//  5. Make a webhook secret of at least 32 characters (openssl rand -hex 32)
//     and give it through Config.Secrets.
//  6. Branch protection that was set up for CircleCI Server may name the contexts
//     "ci/circleci_enterprise: ..."; then set Config.Prefix to
//     "ci/circleci_enterprise".
//  7. Ask [Host.Check]: it says in words what is missing.
//
// To change the webhook secret, let Config.Secrets return the new one before the
// old one and follow each project again, which gives the new one to its webhook;
// then drop the old one. A token can be replaced at any time.
package github
