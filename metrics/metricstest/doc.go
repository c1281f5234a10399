// Package metricstest has the suite for sinks of package metrics, and what
// tests of figures need: the intakes of DataDog and CloudWatch with their
// documented limits, for users of those packages too.
package metricstest
