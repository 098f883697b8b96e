//go:build race

package peer_test

// raceDetector says whether the tests run with it.
const raceDetector = true
