package moxie

import (
	"fmt"
	"runtime/cgo"
	"sync"

	"moxie.dev/go/moxie/internal/raw"
)

// LogLevel says how much a Runtime logs.
type LogLevel int

// Each level includes those before it.
const (
	LogWarning LogLevel = 0
	LogInfo    LogLevel = 1
	LogVerbose LogLevel = 2
)

// listener is the log callback of a runtime, held by every object that may still log.
type listener struct {
	log    func(LogLevel, string)
	handle cgo.Handle

	mutex   sync.Mutex
	holders int
	failure error
}

func newListener(log func(LogLevel, string)) *listener {
	l := &listener{log: log}
	l.handle = raw.LogHandle(l.line)
	return l
}

// line runs the callback in a goroutine of its own: neither a panic nor runtime.Goexit (testing.T.FailNow) may cross
// the C frames above.
func (l *listener) line(level int, text string) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		returned := false
		defer func() {
			if panicked := recover(); panicked != nil {
				l.fail(fmt.Errorf("moxie: the log callback panicked: %v", panicked))
			} else if !returned {
				l.fail(fmt.Errorf("moxie: the log callback ended its goroutine"))
			}
		}()
		l.log(LogLevel(level), text)
		returned = true
	}()
	<-ended
}

func (l *listener) fail(err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.failure == nil {
		l.failure = err
	}
}

func (l *listener) err() error {
	if l == nil {
		return nil
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.failure
}

func (l *listener) retain() {
	if l == nil {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.holders++
}

func (l *listener) release() {
	if l == nil {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.holders--; l.holders == 0 {
		l.handle.Delete()
	}
}
