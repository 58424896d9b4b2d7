package moxie

import (
	"errors"
	"unsafe"

	"moxie.dev/go/moxie/internal/raw"
)

// File is a checkpoint folder, an adapter folder, or one .safetensors or torch archive file, looked at without loading
// it. Any number of goroutines may read it at once.
type File struct {
	handle *handle
	info   FileInfo
}

// FileKind is what a File is.
type FileKind int

// The kinds.
const (
	FileTensors    FileKind = 0 // a single tensor file
	FileCheckpoint FileKind = 1 // a base model
	FileAdapter    FileKind = 2
)

// FileInfo says what is in a File.
type FileInfo struct {
	Kind       FileKind
	Family     string // checkpoint: "llama", ...; adapter: "mixlora", "lora", ...; else ""
	Format     string // "Hugging Face", "mistral consolidated", "MoE-PEFT", "PEFT", "safetensors", ...
	Tensors    int
	Parameters int64
	Bytes      int64
	Problems   int // what loading it would refuse; see File.Problems
}

// OpenFile fails only where nothing can be said (no such path, unreadable tensor file); what is wrong with a
// configuration is listed as problems instead.
func OpenFile(path string) (*File, error) {
	if err := checkVersion(); err != nil {
		return nil, err
	}
	if err := checkText("path", path); err != nil {
		return nil, err
	}
	var object uintptr
	err := call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_file_open(path, &object, e) })
	if err != nil {
		return nil, err
	}
	f := &File{handle: newHandle("File", object, raw.Mox_file_free, nil)}
	if f.info, err = f.Describe(); err != nil {
		f.handle.close()
		return nil, err
	}
	return f, nil
}

// Close frees the file. Closing twice is fine. The error is always nil.
func (f *File) Close() error {
	f.handle.close()
	return nil
}

// Describe says what is in the file.
func (f *File) Describe() (FileInfo, error) {
	object, err := f.handle.use()
	if err != nil {
		return FileInfo{}, err
	}
	defer f.handle.done()
	info := raw.NewMox_file_info()
	defer raw.DeleteMox_file_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_file_describe(object, info, e) })
	if err != nil {
		return FileInfo{}, err
	}
	return FileInfo{
		Kind:       FileKind(info.GetKind()),
		Family:     info.GetFamily(),
		Format:     info.GetFormat(),
		Tensors:    int(info.GetTensors()),
		Parameters: info.GetParameters(),
		Bytes:      info.GetBytes(),
		Problems:   int(info.GetProblems()),
	}, nil
}

// Problems say why it would be refused, as loading would say it.
func (f *File) Problems() ([]string, error) {
	object, err := f.handle.use()
	if err != nil {
		return nil, err
	}
	defer f.handle.done()
	var problems []string
	for i := 0; i < f.info.Problems; i++ {
		var text unsafe.Pointer
		err := call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
			return raw.Mox_file_problem(object, int64(i), &text, e)
		})
		if err != nil {
			return nil, err
		}
		problems = append(problems, raw.Moxie_go_string(text))
	}
	return problems, nil
}

// Setting is one worth showing: "hidden", "192".
type Setting struct{ Name, Value string }

// Settings are those worth showing, in a fixed order.
func (f *File) Settings() ([]Setting, error) {
	object, err := f.handle.use()
	if err != nil {
		return nil, err
	}
	defer f.handle.done()
	var settings []Setting
	for {
		var name, value unsafe.Pointer
		err := call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
			return raw.Mox_file_setting(object, int64(len(settings)), &name, &value, e)
		})
		if errors.Is(err, ErrNotFound) {
			return settings, nil
		}
		if err != nil {
			return nil, err
		}
		settings = append(settings, Setting{raw.Moxie_go_string(name), raw.Moxie_go_string(value)})
	}
}

// TensorInfo says what one tensor is.
type TensorInfo struct {
	Name  string
	File  string // it is stored in, relative to the folder
	DType DType
	Shape []int64
	Bytes int64
}

// Tensors are all of them, sorted by name.
func (f *File) Tensors() ([]TensorInfo, error) {
	tensors := make([]TensorInfo, 0, f.info.Tensors)
	for i := 0; i < f.info.Tensors; i++ {
		tensor, err := f.tensor(int64(i))
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, tensor)
	}
	return tensors, nil
}

func (f *File) tensor(index int64) (TensorInfo, error) {
	object, err := f.handle.use()
	if err != nil {
		return TensorInfo{}, err
	}
	defer f.handle.done()
	info := raw.NewMox_tensor_info()
	defer raw.DeleteMox_tensor_info(info)
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status { return raw.Mox_file_tensor(object, index, info, e) })
	if err != nil {
		return TensorInfo{}, err
	}
	return TensorInfo{
		Name:  info.GetName(),
		File:  info.GetFile(),
		DType: DType(info.GetDtype()),
		Shape: append([]int64(nil), unsafe.Slice((*int64)(info.GetShape()), info.GetDimensions())...),
		Bytes: info.GetBytes(),
	}, nil
}

// Tensor is the one of that name; ErrNotFound where there is none.
func (f *File) Tensor(name string) (TensorInfo, error) {
	index, err := f.find(name)
	if err != nil {
		return TensorInfo{}, err
	}
	return f.tensor(index)
}

// ReadTensor gives a tensor's bytes as stored: contiguous, row by row, little endian.
func (f *File) ReadTensor(name string) ([]byte, error) {
	info, err := f.Tensor(name)
	if err != nil {
		return nil, err
	}
	bytes := make([]byte, info.Bytes)
	return bytes, f.ReadTensorInto(name, bytes)
}

// ReadTensorInto is ReadTensor into the caller's slice, which must be as long as the tensor's bytes.
func (f *File) ReadTensorInto(name string, destination []byte) error {
	object, err := f.handle.use()
	if err != nil {
		return err
	}
	defer f.handle.done()
	index, err := f.find(name)
	if err != nil {
		return err
	}
	var at unsafe.Pointer
	if len(destination) > 0 {
		at = unsafe.Pointer(&destination[0])
	}
	return call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_file_read_tensor(object, index, at, int64(len(destination)), e)
	})
}

func (f *File) find(name string) (int64, error) {
	object, err := f.handle.use()
	if err != nil {
		return 0, err
	}
	defer f.handle.done()
	if err := checkText("name", name); err != nil {
		return 0, err
	}
	var index int64
	err = call(func(e raw.Mox_error) raw.Enum_SS_mox_status {
		return raw.Mox_file_find_tensor(object, name, unsafe.Pointer(&index), e)
	})
	return index, err
}
