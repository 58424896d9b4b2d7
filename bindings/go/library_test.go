package moxie_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"moxie.dev/go/moxie"
)

// firstCalls is what a program does with the library before anything else; each must say what is wrong with it.
func firstCalls() map[string]error {
	one := func(_ interface{}, err error) error { return err }
	return map[string]error{
		"NewRuntime":    one(moxie.NewRuntime(nil)),
		"NewSampler":    one(moxie.NewSampler(nil)),
		"NewRouting":    one(moxie.NewRouting(nil)),
		"OpenFile":      one(moxie.OpenFile("nowhere")),
		"RouterLoss":    one(moxie.RouterLoss(&moxie.RouterLossOptions{}, nil)),
		"RouterProfile": one(moxie.RouterProfile(&moxie.RouterLossOptions{Layers: 1, Experts: 1}, nil)),
	}
}

// TestMain lets the test program be the program that is run with another library.
func TestMain(m *testing.M) {
	if os.Getenv("MOXIE_TEST_FIRST_CALLS") != "" {
		for name, err := range firstCalls() {
			fmt.Printf("%s: %v\n", name, err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runWith runs this test program over the libraries of a folder.
func runWith(t *testing.T, folder string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	command := exec.Command(self)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "LD_LIBRARY_PATH=") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, "LD_LIBRARY_PATH="+folder, "MOXIE_TEST_FIRST_CALLS=1")
	output, err := command.CombinedOutput()
	return string(output), err
}

// otherLibrary is a libmoxie.so.0 of another version, in which every function but the names of things is a trap.
func otherLibrary(t *testing.T, version string) string {
	t.Helper()
	folder := t.TempDir()
	var source strings.Builder
	source.WriteString("#include <stdlib.h>\n")
	headers, err := filepath.Glob(filepath.Join("..", "..", "include", "moxie", "*.h"))
	must(t, err)
	count := 0
	for _, header := range headers {
		text, err := os.ReadFile(header)
		must(t, err)
		for _, found := range regexp.MustCompile(`MOX_API [^;(]*?\b(mox_\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			switch count++; found[1] {
			case "mox_version":
				fmt.Fprintf(&source, "const char* mox_version(void) { return %q; }\n", version)
			case "mox_status_name":
				source.WriteString("const char* mox_status_name(int status) { return \"other\"; }\n")
			default:
				fmt.Fprintf(&source, "void %s(void) { abort(); }\n", found[1])
			}
		}
	}
	if count < 60 {
		t.Fatalf("%d functions", count)
	}
	must(t, os.WriteFile(filepath.Join(folder, "other.c"), []byte(source.String()), 0o600))
	must(t, os.WriteFile(filepath.Join(folder, "other.map"), []byte("MOXIE_0 { global: mox_*; local: *; };\n"), 0o600))
	compile := exec.Command("cc", "-shared", "-fPIC", "-o", "libmoxie.so.0", "-Wl,-soname,libmoxie.so.0",
		"-Wl,--version-script=other.map", "other.c")
	compile.Dir = folder
	if output, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return folder
}

func TestLibraryOfAnotherVersionIsAnError(t *testing.T) {
	for _, version := range []string{"9.9.9", "0.2.0", "nonsense"} {
		folder := otherLibrary(t, version)
		output, err := runWith(t, folder)
		must(t, err)
		for name := range firstCalls() {
			expected := fmt.Sprintf("%s: moxie: wrong version of libmoxie: %s/libmoxie.so.0 is version %q; this package was made for 0.1.x\n",
				name, folder, version)
			if !strings.Contains(output, expected) {
				t.Errorf("%s; expected %s", output, expected)
			}
		}
	}
}

func TestMissingLibraryIsNamed(t *testing.T) {
	output, err := runWith(t, t.TempDir())
	if err == nil || !strings.Contains(output, "libmoxie.so.0: cannot open shared object file") {
		t.Errorf("%v: %s", err, output)
	}
}

func TestVersionIsTheProjects(t *testing.T) {
	if expected := os.Getenv("MOXIE_PROJECT_VERSION"); expected != "" && expected != moxie.Version {
		t.Errorf("this package says it was made for %s; the project is %s", moxie.Version, expected)
	}
	found := moxie.LibraryVersion()
	if strings.Split(found, ".")[0] != strings.Split(moxie.Version, ".")[0] {
		t.Errorf("%s is loaded", found)
	}
}
