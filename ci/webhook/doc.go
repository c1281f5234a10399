// Package webhook tells addresses outside of what happens in a project: the
// outbound webhooks of the API. Its nouns are the [Courier], who keeps the
// webhooks and delivers, and the message, of which the log shows a
// [ci.Delivery].
//
// A courier follows the events. For each workflow and job that ended it writes
// one message for each webhook that asks, in the transaction that moves its
// cursor: every event gets into the outbox exactly once. From there a message
// goes out at least once: it is tried until the receiver answers 2xx, for 24
// hours, with waits that double up to an hour. Its body is made once and every
// try sends the same bytes with the same id, by which a receiver knows a
// repetition. Order is not promised.
//
// A project has [MaxWebhooks] at most, and what others wrote into a message is
// cut to a length, so that no event is too large to be told.
//
// Where a message may go is decided on the IP address that is dialled, after
// the name was resolved: loopback, private, link-local and other addresses
// that are not of the public internet are refused unless [Config] allows them.
// Redirects are not followed. People see what kind of failure it was; details
// go to the operator's log, and answers are thrown away.
//
// The package never sees a signing secret in clear longer than one try takes,
// and never decides who may do what: the API does.
package webhook
