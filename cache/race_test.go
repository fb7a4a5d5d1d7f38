//go:build race

package cache

// raceDetector: the tests run with it.
const raceDetector = true
