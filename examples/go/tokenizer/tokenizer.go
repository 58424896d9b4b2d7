// Package tokenizer turns text into the example models' tokens and back: byte-pair encoding with byte fallback, from a
// Hugging Face tokenizer.json. It is just what these models need, no more.
package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// space stands for " " in the pieces.
const space = "▁"

// BeginningOfSequence begins every prompt.
const BeginningOfSequence int32 = 1

// Tokenizer is immutable; any number of goroutines may use it.
type Tokenizer struct {
	ids    map[string]int32
	pieces []string
	ranks  map[[2]string]int // merges, the earlier the sooner
}

// Open reads a tokenizer.json.
func Open(path string) (*Tokenizer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Model struct {
			Type         string
			ByteFallback bool `json:"byte_fallback"`
			Vocab        map[string]int32
			Merges       [][2]string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if file.Model.Type != "BPE" || !file.Model.ByteFallback {
		return nil, fmt.Errorf("%s: a %q model; expected BPE with byte fallback", path, file.Model.Type)
	}
	t := &Tokenizer{file.Model.Vocab, make([]string, len(file.Model.Vocab)), map[[2]string]int{}}
	for piece, id := range t.ids {
		if id < 0 || int(id) >= len(t.pieces) {
			return nil, fmt.Errorf("%s: token %q has the id %d of %d", path, piece, id, len(t.pieces))
		}
		t.pieces[id] = piece
	}
	for rank, pair := range file.Model.Merges {
		t.ranks[pair] = rank
	}
	return t, nil
}

// Encode gives the tokens of a text, the beginning of a sequence before them.
func (t *Tokenizer) Encode(text string) []int32 {
	var parts []string
	for _, letter := range space + strings.ReplaceAll(text, " ", space) {
		parts = append(parts, string(letter))
	}
	for {
		best, at := len(t.ranks), -1
		for i := 0; i+1 < len(parts); i++ {
			if rank, found := t.ranks[[2]string{parts[i], parts[i+1]}]; found && rank < best {
				best, at = rank, i
			}
		}
		if at < 0 {
			break
		}
		parts[at] += parts[at+1]
		parts = append(parts[:at+1], parts[at+2:]...)
	}
	tokens := []int32{BeginningOfSequence}
	for _, part := range parts {
		if id, found := t.ids[part]; found {
			tokens = append(tokens, id)
			continue
		}
		for i := 0; i < len(part); i++ {
			tokens = append(tokens, t.ids[fmt.Sprintf("<0x%02X>", part[i])])
		}
	}
	return tokens
}

// Decode gives the text of tokens, the beginning of a sequence left out.
func (t *Tokenizer) Decode(tokens []int32) string {
	var text strings.Builder
	for _, token := range tokens {
		if token == BeginningOfSequence || token < 0 || int(token) >= len(t.pieces) {
			continue
		}
		piece := t.pieces[token]
		if len(piece) == 6 && strings.HasPrefix(piece, "<0x") {
			if value, err := strconv.ParseUint(piece[3:5], 16, 8); err == nil {
				text.WriteByte(byte(value))
				continue
			}
		}
		text.WriteString(strings.ReplaceAll(piece, space, " "))
	}
	return strings.TrimPrefix(text.String(), " ")
}
