// Package schedulertest holds what tests of and around the scheduler need: the
// suites [TestCluster] and [TestBacklog], which say what drivers and databases
// must do, and in-memory fakes that pass them: [Cluster], with virtual nodes
// and faults on demand, and [Backlog].
//
// It is for tests only and starts no process.
package schedulertest
