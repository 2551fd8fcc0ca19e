//go:build race

package listen

// raceDetector: memory is not what it is without the race detector.
const raceDetector = true
