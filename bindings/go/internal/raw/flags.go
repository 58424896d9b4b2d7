// Package raw is the C interface under its own names. It is internal: package moxie is what programs use.
package raw

// #cgo pkg-config: moxie
// #cgo CFLAGS: -std=gnu11
import "C"
