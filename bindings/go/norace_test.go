//go:build !race

package moxie_test

const raceDetector = 0
