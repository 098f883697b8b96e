// Package archtest has the tests that hold the other packages to the borders drawn in docs/design.md: who may import whom, which
// packages have no clock, and where goroutines start.
package archtest
