// A small server's inside: goroutines serve requests, each with a sequence and an adapter of its own, and one goroutine
// gathers whatever is ready into one step, prefill and decode mixed. Meanwhile adapters are loaded anew and the old ones
// closed under the requests that use them. Every request's tokens and logits are compared, bit for bit, with what it
// gets alone.
//
//	tenants [MODELS]     default: examples/models
package main

import (
	"errors"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"moxie.dev/go/examples/tokenizer"
	"moxie.dev/go/moxie"
)

const (
	workers      = 8
	requests     = 48
	replacements = 24
	newTokens    = 10
)

// request is one tenant's prompt.
type request struct {
	adapter     string // "": the plain base
	prompt      []int32
	temperature float32
	seed        uint64
}

// answer is all that can be compared.
type answer struct {
	tokens []int32
	logits []float32 // of every new token
}

func main() {
	log.SetFlags(0)
	models := filepath.Join("examples", "models")
	if len(os.Args) > 1 {
		models = os.Args[1]
	}
	if err := run(models); err != nil {
		log.Fatal(err)
	}
}

func run(models string) error {
	text, err := tokenizer.Open(filepath.Join(models, "tokenizer", "tokenizer.json"))
	if err != nil {
		return err
	}
	rt, err := moxie.NewRuntime(nil)
	if err != nil {
		return err
	}
	defer rt.Close()
	model, err := rt.OpenModel(filepath.Join(models, "tiny-llama"), nil)
	if err != nil {
		return err
	}
	defer model.Close()
	info, err := model.Describe()
	if err != nil {
		return err
	}

	names := []string{"kjv-mixlora", "kjv-mixlora-dynamic", "melville-loramoe", "presidents-mola", "jargon-lora"}
	shelf := &shelf{model: model, models: models, loaded: map[string]*moxie.Adapter{}}
	defer shelf.close()
	for _, name := range names {
		if err := shelf.replace(name); err != nil {
			return err
		}
	}
	prompts := []string{
		"And it came to pass in those days, that", "Captain Ahab stood upon the quarter-deck, and",
		"My fellow Americans, tonight", "hacker\n /hak'er/, n.\n\n    1. A person who",
	}
	all := make([]request, requests)
	for i := range all {
		all[i] = request{prompt: text.Encode(prompts[i%len(prompts)]), temperature: float32(i%3) * 0.4, seed: uint64(i)}
		if which := i % (len(names) + 1); which < len(names) {
			all[i].adapter = names[which]
		}
	}

	// Alone: each request's own small steps, one after another.
	alone := make([]answer, requests)
	for i := range all {
		if alone[i], err = serve(model, shelf, info.Vocabulary, all[i], func(step moxie.Step) error { return model.Step(step) }); err != nil {
			return err
		}
	}

	// Together.
	gather := newGatherer(model)
	together := make([]answer, requests)
	failures := make(chan error, workers+1)
	numbers := make(chan int)
	var serving, replacing sync.WaitGroup
	for w := 0; w < workers; w++ {
		serving.Add(1)
		go func() {
			defer serving.Done()
			for i := range numbers {
				served, err := serve(model, shelf, info.Vocabulary, all[i], gather.step)
				if err != nil {
					failures <- fmt.Errorf("request %d: %w", i, err)
				}
				together[i] = served
			}
		}()
	}
	replacing.Add(1)
	go func() {
		defer replacing.Done()
		for i := 0; i < replacements; i++ {
			if err := shelf.replace(names[i%len(names)]); err != nil {
				failures <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	for i := range all {
		select {
		case numbers <- i:
		case err := <-failures:
			return err
		}
	}
	close(numbers)
	serving.Wait()
	replacing.Wait()
	gather.stop()
	select {
	case err := <-failures:
		return err
	default:
	}

	for i := range all {
		if !same(alone[i], together[i]) {
			return fmt.Errorf("request %d got %v together and %v alone", i, together[i].tokens, alone[i].tokens)
		}
	}
	for i := 0; i < len(names)+1; i++ {
		fmt.Printf("%-20s %s\n", all[i].adapter, text.Decode(append(all[i].prompt, together[i].tokens...)))
	}
	fmt.Printf("\n%d requests in %d steps, up to %d sequences in one; %d adapters replaced meanwhile\n",
		requests, gather.steps, gather.largest, replacements)
	fmt.Println("every token and logit has the bits it has alone")
	if gather.largest < 2 {
		return errors.New("nothing was gathered: every step had one sequence")
	}
	return nil
}

// serve answers one request; step moves its sequence on, in whatever company.
func serve(model *moxie.Model, shelf *shelf, vocabulary int, r request, step func(moxie.Step) error) (answer, error) {
	var made answer
	adapter, err := shelf.borrow(r.adapter)
	if err != nil {
		return made, err
	}
	if adapter != nil {
		defer adapter.Close()
	}
	sequence, err := model.NewSequence(nil)
	if err != nil {
		return made, err
	}
	defer sequence.Close()
	sampler, err := moxie.NewSampler(&moxie.SamplerOptions{Temperature: r.temperature, TopK: 40, Seed: r.seed})
	if err != nil {
		return made, err
	}
	defer sampler.Close()
	made.logits = make([]float32, newTokens*vocabulary)
	tokens := r.prompt
	for i := 0; i < newTokens; i++ {
		logits := made.logits[i*vocabulary : (i+1)*vocabulary]
		if err := step(moxie.Step{Sequence: sequence, Adapter: adapter, Tokens: tokens, Logits: logits}); err != nil {
			return made, err
		}
		token, err := sampler.Next(logits)
		if err != nil {
			return made, err
		}
		tokens = []int32{token}
		made.tokens = append(made.tokens, token)
	}
	return made, nil
}

func same(a, b answer) bool {
	if fmt.Sprint(a.tokens) != fmt.Sprint(b.tokens) || len(a.logits) != len(b.logits) {
		return false
	}
	for i := range a.logits {
		if math.Float32bits(a.logits[i]) != math.Float32bits(b.logits[i]) {
			return false
		}
	}
	return true
}

// gatherer puts steps that are ready into one.
type gatherer struct {
	model          *moxie.Model
	waiting        chan waiting
	ended          chan struct{}
	steps, largest int
}

type waiting struct {
	step moxie.Step
	done chan error
}

func newGatherer(model *moxie.Model) *gatherer {
	g := &gatherer{model: model, waiting: make(chan waiting, workers), ended: make(chan struct{})}
	go g.run()
	return g
}

// step waits until the step has been part of one.
func (g *gatherer) step(step moxie.Step) error {
	done := make(chan error, 1)
	g.waiting <- waiting{step, done}
	return <-done
}

// stop is called when nobody steps any more.
func (g *gatherer) stop() {
	close(g.waiting)
	<-g.ended
}

func (g *gatherer) run() {
	defer close(g.ended)
	for first := range g.waiting {
		ready := []waiting{first}
		// Those chosen for in the last step come back at once; a moment later they are here.
		for patience := time.After(200 * time.Microsecond); len(ready) < workers && patience != nil; {
			select {
			case next, open := <-g.waiting:
				if !open {
					patience = nil
					break
				}
				ready = append(ready, next)
			case <-patience:
				patience = nil
			}
		}
		steps := make([]moxie.Step, len(ready))
		for i := range ready {
			steps[i] = ready[i].step
		}
		// All or nothing: one bad step would refuse the others, so each is then tried alone.
		err := g.model.Step(steps...)
		for i := range ready {
			if err != nil && len(ready) > 1 {
				ready[i].done <- g.model.Step(steps[i])
				continue
			}
			ready[i].done <- err
		}
		g.steps++
		if len(ready) > g.largest {
			g.largest = len(ready)
		}
	}
}

// shelf is the adapters in service, by name.
type shelf struct {
	model  *moxie.Model
	models string
	mutex  sync.Mutex
	loaded map[string]*moxie.Adapter
}

// borrow gives a hold of its own of the adapter that bears the name now; the caller closes it.
func (s *shelf) borrow(name string) (*moxie.Adapter, error) {
	if name == "" {
		return nil, nil
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	adapter := s.loaded[name]
	if adapter == nil {
		return nil, fmt.Errorf("no adapter %q is in service", name)
	}
	return adapter.Retain()
}

// replace loads an adapter anew. Who uses the old one goes on with it; the last to close it frees it.
func (s *shelf) replace(name string) error {
	fresh, err := s.model.OpenAdapter(filepath.Join(s.models, name))
	if err != nil {
		return err
	}
	s.mutex.Lock()
	old := s.loaded[name]
	s.loaded[name] = fresh
	s.mutex.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

func (s *shelf) close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, adapter := range s.loaded {
		adapter.Close()
	}
}
