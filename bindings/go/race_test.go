//go:build race

package moxie_test

// raceDetector keeps a shadow of what the program ever touched, which grows a while longer than the program does.
const raceDetector = 6 * 1024
