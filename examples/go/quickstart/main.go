// One model, three adapters and the plain base: four prompts of four tenants go on together, one batch for every
// token. The texts are those of the reference implementations, or the program fails.
//
//	quickstart [MODELS]     default: examples/models
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"moxie.dev/go/examples/tokenizer"
	"moxie.dev/go/moxie"
)

const newTokens = 32

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
	// float32, as the reference was measured; nil takes the weights as they are stored.
	model, err := rt.OpenModel(filepath.Join(models, "tiny-llama"), &moxie.LoadOptions{Weights: moxie.WeightsF32})
	if err != nil {
		return err
	}
	defer model.Close()
	info, err := model.Describe()
	if err != nil {
		return err
	}

	// A tenant's step: all of the prompt at first, then the token chosen last.
	const prompt = "My fellow Americans, tonight"
	names := []string{"tiny-llama", "kjv-mixlora", "presidents-mola", "jargon-lora"} // the first: the plain base
	steps := make([]moxie.Step, len(names))
	tokens := make([][]int32, len(names))
	for i, name := range names {
		tokens[i] = text.Encode(prompt)
		steps[i] = moxie.Step{Tokens: tokens[i], Logits: make([]float32, info.Vocabulary)}
		if steps[i].Sequence, err = model.NewSequence(nil); err != nil {
			return err
		}
		defer steps[i].Sequence.Close()
		if name == "tiny-llama" {
			continue
		}
		if steps[i].Adapter, err = model.OpenAdapter(filepath.Join(models, name)); err != nil {
			return err
		}
		defer steps[i].Adapter.Close()
	}

	greedy, err := moxie.NewSampler(nil)
	if err != nil {
		return err
	}
	defer greedy.Close()
	for round := 0; round < newTokens; round++ {
		if err := model.Step(steps...); err != nil {
			return err
		}
		for i := range steps {
			token, err := greedy.Next(steps[i].Logits)
			if err != nil {
				return err
			}
			tokens[i] = append(tokens[i], token)
			steps[i].Tokens = []int32{token}
		}
	}

	for i, name := range names {
		fmt.Printf("[%s]\n%s\n\n", name, text.Decode(tokens[i]))
		if err := compare(models, name, prompt, tokens[i]); err != nil {
			return err
		}
	}
	return nil
}

// compare with what the reference implementation wrote.
func compare(models, name, prompt string, tokens []int32) error {
	content, err := os.ReadFile(filepath.Join(models, "reference.json"))
	if err != nil {
		return err
	}
	var reference struct {
		Models map[string]struct {
			Greedy map[string][]struct {
				Prompt    string
				PromptIDs []int32 `json:"prompt_ids"`
				IDs       []int32
			}
		}
	}
	if err := json.Unmarshal(content, &reference); err != nil {
		return err
	}
	for _, c := range reference.Models[name].Greedy["sotu"] {
		if c.Prompt != prompt {
			continue
		}
		expected := append(c.PromptIDs, c.IDs[:newTokens]...)
		if fmt.Sprint(expected) != fmt.Sprint(tokens) {
			return fmt.Errorf("%s: tokens %v; the reference has %v", name, tokens, expected)
		}
		return nil
	}
	return fmt.Errorf("the reference has no %q of %s", prompt, name)
}
