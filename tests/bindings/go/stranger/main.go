// A program of somebody who has installed Moxie: six tokens of one prompt under one adapter.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"moxie.dev/go/moxie"
)

func main() {
	rt, err := moxie.NewRuntime(nil)
	check(err)
	defer rt.Close()
	model, err := rt.OpenModel(filepath.Join(os.Args[1], "tiny-llama"), &moxie.LoadOptions{Weights: moxie.WeightsF32})
	check(err)
	defer model.Close()
	adapter, err := model.OpenAdapter(filepath.Join(os.Args[1], "presidents-mola"))
	check(err)
	defer adapter.Close()
	sequence, err := model.NewSequence(nil)
	check(err)
	defer sequence.Close()
	generation := model.Generate(context.Background(), moxie.GenerateOptions{
		Sequence: sequence, Adapter: adapter, MaxTokens: 6,
		Tokens: []int32{1, 449, 1964, 570, 981, 865, 614, 1965, 259, 272, 415},
	})
	separator := ""
	for generation.Next() {
		fmt.Print(separator, generation.Token())
		separator = " "
	}
	check(generation.Err())
	fmt.Println()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
