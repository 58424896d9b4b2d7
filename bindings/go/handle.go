package moxie

import (
	"runtime"
	"sync"
)

// handle owns one object of the library. Close neither waits for calls that use the object nor pulls it from under
// them: the last call to end frees it.
type handle struct {
	kind string
	free func(uintptr)
	log  *listener // held until the object is freed: until then the library may log

	mutex  sync.Mutex
	object uintptr
	users  int
	closed bool
}

func newHandle(kind string, object uintptr, free func(uintptr), log *listener) *handle {
	log.retain()
	h := &handle{kind: kind, free: free, log: log, object: object}
	runtime.SetFinalizer(h, (*handle).close)
	return h
}

// use lends the object to a call, which must end with done. Done refers to the handle, so the collector cannot run
// the finalizer before it.
func (h *handle) use() (uintptr, error) {
	if h == nil {
		return 0, &closedError{"object"}
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.closed {
		return 0, &closedError{h.kind}
	}
	h.users++
	return h.object, nil
}

func (h *handle) done() {
	h.mutex.Lock()
	h.users--
	h.freeIfUnused()
	h.mutex.Unlock()
	runtime.KeepAlive(h)
}

func (h *handle) close() {
	if h == nil {
		return
	}
	h.mutex.Lock()
	h.closed = true
	h.freeIfUnused()
	h.mutex.Unlock()
	runtime.KeepAlive(h)
}

func (h *handle) freeIfUnused() {
	if !h.closed || h.users > 0 || h.object == 0 {
		return
	}
	runtime.SetFinalizer(h, nil)
	h.free(h.object)
	h.object = 0
	h.log.release()
}

// loans are the handles that one call uses.
type loans []*handle

func (l *loans) use(h *handle) (uintptr, error) {
	object, err := h.use()
	if err == nil {
		*l = append(*l, h)
	}
	return object, err
}

func (l *loans) done() {
	for _, h := range *l {
		h.done()
	}
}
