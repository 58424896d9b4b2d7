package moxie_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"moxie.dev/go/moxie"
)

func TestLogIsHeard(t *testing.T) {
	var mutex sync.Mutex
	var lines []string
	over, err := moxie.NewRuntime(&moxie.RuntimeOptions{LogLevel: moxie.LogVerbose, Log: func(level moxie.LogLevel, text string) {
		mutex.Lock()
		defer mutex.Unlock()
		if level < moxie.LogWarning || level > moxie.LogVerbose || strings.Contains(text, "\n") || text == "" {
			t.Errorf("%d %q", level, text)
		}
		lines = append(lines, text)
	}})
	must(t, err)
	model, err := over.OpenModel(tinyLlama, nil)
	must(t, err)
	must(t, over.Close())
	// The runtime is closed; the model still logs through it.
	mutex.Lock()
	before := len(lines)
	mutex.Unlock()
	runtime.GC()
	adapter, err := model.OpenAdapter(models("kjv-mixlora"))
	must(t, err)
	must(t, model.Close())
	must(t, adapter.Close())
	mutex.Lock()
	defer mutex.Unlock()
	if before == 0 {
		t.Error("nothing was logged")
	}
}

// A callback that panics, or ends its goroutine, harms nobody; the first panic comes back from Close.
func TestLogThatPanics(t *testing.T) {
	for says, log := range map[string]func(){
		"the log callback panicked: no more paper":    func() { panic("no more paper") },
		"the log callback panicked: runtime error":    func() { var none []int; _ = none[len(says0)] },
		"the log callback ended its goroutine":        runtime.Goexit,
		"the log callback panicked: panic called wit": func() { panic(nil) },
	} {
		over, err := moxie.NewRuntime(&moxie.RuntimeOptions{
			LogLevel: moxie.LogVerbose, Log: func(moxie.LogLevel, string) { log() },
		})
		must(t, err)
		model, err := over.OpenModel(tinyLlama, &moxie.LoadOptions{Weights: moxie.WeightsF32})
		must(t, err)
		if len(greedy(t, model, nil, 2)) == 0 {
			t.Error("nothing was computed")
		}
		must(t, model.Close())
		err = over.Close()
		if strings.Contains(says, "panic called wit") { // Go before 1.21 cannot tell panic(nil) from Goexit
			says = "the log callback"
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; expected %q", err, says)
		}
	}
}

const says0 = ""

func TestRuntimeDescribesItself(t *testing.T) {
	over, err := moxie.NewRuntime(&moxie.RuntimeOptions{
		Threads: 1, ISA: moxie.ISAPortable, Backend: moxie.BackendReference, Affinity: moxie.AffinityNone,
	})
	must(t, err)
	defer over.Close()
	info, err := over.Describe()
	must(t, err)
	if info.Threads != 1 || info.ISA != moxie.ISAPortable || info.MachineISA < info.ISA || info.CPU == "" ||
		!strings.Contains(info.Backends, "reference") || !strings.Contains(info.KernelF32, "reference") ||
		info.Affinity != moxie.AffinityNone || info.Cores < 1 || info.NUMANodes < 1 || info.CPUs == "" {
		t.Errorf("%+v", info)
	}
	kernels, err := over.Kernels()
	must(t, err)
	last := kernels[len(kernels)-1]
	if len(kernels) < 2 || !strings.Contains(last.Name, "reference") || last.SkippedBecause != "" || kernels[0].SkippedBecause == "" {
		t.Errorf("%+v", kernels)
	}
	bound, err := moxie.NewRuntime(&moxie.RuntimeOptions{CPUs: info.CPUs, Affinity: moxie.AffinityCompact, Threads: 1})
	must(t, err)
	defer bound.Close()
	if settled, err := bound.Describe(); err != nil || settled.Affinity != moxie.AffinityCompact {
		t.Errorf("%+v %v", settled, err)
	}
	for says, options := range map[string]moxie.RuntimeOptions{
		"5000":      {Threads: 5000},
		"zero byte": {CPUs: "0\x001"},
		"nonsense":  {CPUs: "nonsense"},
		"32 bits":   {Threads: 1 << 40},
	} {
		options := options
		if _, err := moxie.NewRuntime(&options); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; expected %q", err, says)
		}
	}
}
