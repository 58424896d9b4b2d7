package raw

// #include <stdint.h>
import "C"

import "runtime/cgo"

// LogFunc receives the lines of one runtime. It must neither panic nor end its goroutine: C frames lie above it.
type LogFunc func(level int, text string)

// LogHandle registers a callback; the handle goes to Moxie_go_set_log.
func LogHandle(log LogFunc) cgo.Handle { return cgo.NewHandle(log) }

//export moxieGoLog
func moxieGoLog(handle C.uintptr_t, level C.int, text *C.char) {
	cgo.Handle(handle).Value().(LogFunc)(int(level), C.GoString(text))
}
