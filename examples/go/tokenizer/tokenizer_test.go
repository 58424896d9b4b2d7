package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Prompts and continuations as the reference implementations encoded and decoded them.
func TestAgainstTheReference(t *testing.T) {
	models := os.Getenv("MOXIE_MODELS")
	if models == "" {
		models = filepath.Join("..", "..", "models")
	}
	tokenizer, err := Open(filepath.Join(models, "tokenizer", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(models, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var reference struct {
		Models map[string]struct {
			Greedy map[string][]struct {
				Prompt    string
				PromptIDs []int32 `json:"prompt_ids"`
				IDs       []int32
				Text      string
			}
		}
	}
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	count := 0
	for name, model := range reference.Models {
		for _, continuations := range model.Greedy {
			for _, c := range continuations {
				count++
				ids := tokenizer.Encode(c.Prompt)
				if len(ids) != len(c.PromptIDs) {
					t.Fatalf("%s: %q: %v; expected %v", name, c.Prompt, ids, c.PromptIDs)
				}
				for i := range ids {
					if ids[i] != c.PromptIDs[i] {
						t.Fatalf("%s: %q: %v; expected %v", name, c.Prompt, ids, c.PromptIDs)
					}
				}
				if decoded := tokenizer.Decode(append(ids, c.IDs...)); decoded != c.Text {
					t.Errorf("%s: %q; expected %q", name, decoded, c.Text)
				}
			}
		}
	}
	if count < 80 {
		t.Errorf("only %d texts", count)
	}
	if tokens := tokenizer.Encode("a\u2603"); len(tokens) != 5 || tokenizer.Decode(tokens) != "a\u2603" {
		t.Errorf("a letter without a piece: %v", tokens)
	}
	if _, err := Open("nowhere"); err == nil {
		t.Error("nowhere is a tokenizer")
	}
}
