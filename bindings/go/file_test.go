package moxie_test

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"moxie.dev/go/moxie"
)

func TestFilesAreLookedAt(t *testing.T) {
	file, err := moxie.OpenFile(tinyLlama)
	must(t, err)
	defer file.Close()
	info, err := file.Describe()
	must(t, err)
	if info.Kind != moxie.FileCheckpoint || info.Family != "llama" || info.Problems != 0 || info.Tensors < 10 {
		t.Errorf("%+v", info)
	}
	tensors, err := file.Tensors()
	must(t, err)
	if len(tensors) != info.Tensors {
		t.Errorf("%d tensors of %d", len(tensors), info.Tensors)
	}
	const name = "model.layers.2.mlp.gate_proj.weight"
	tensor, err := file.Tensor(name)
	must(t, err)
	if tensor.Name != name || len(tensor.Shape) != 2 || tensor.File != "model.safetensors" ||
		tensor.Bytes != tensor.Shape[0]*tensor.Shape[1]*tensor.DType.Size() {
		t.Errorf("%+v", tensor)
	}
	bytes, err := file.ReadTensor(name)
	must(t, err)
	first := math.Float32frombits(uint32(binary.LittleEndian.Uint16(bytes)) << 16)
	if int64(len(bytes)) != tensor.Bytes || first == 0 || math.Abs(float64(first)) > 10 {
		t.Errorf("%d bytes, %v first", len(bytes), first)
	}
	if err := file.ReadTensorInto(name, bytes[1:]); !errors.Is(err, moxie.ErrInvalidArgument) {
		t.Error(err)
	}
	if _, err := file.Tensor("nothing"); !errors.Is(err, moxie.ErrNotFound) {
		t.Error(err)
	}
	settings, err := file.Settings()
	must(t, err)
	found := map[string]string{}
	for _, setting := range settings {
		found[setting.Name] = setting.Value
	}
	if found["hidden"] != "192" {
		t.Errorf("%v", settings)
	}
	foreign, err := moxie.OpenFile(models("tiny-mixtral-jargon-peft"))
	must(t, err)
	defer foreign.Close()
	problems, err := foreign.Problems()
	must(t, err)
	if len(problems) == 0 || !strings.Contains(problems[0], "PEFT") {
		t.Errorf("%q", problems)
	}
	if _, err := moxie.OpenFile(models("nowhere")); !errors.Is(err, moxie.ErrNotFound) || !strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
}
