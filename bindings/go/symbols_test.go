package moxie

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func readAll(t *testing.T, patterns ...string) string {
	t.Helper()
	var text strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(content)
		}
	}
	return text.String()
}

func headers(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("MOXIE_HEADERS")
	if folder == "" {
		folder = filepath.Join("..", "..", "include", "moxie")
	}
	comments := regexp.MustCompile(`(?s)/\*.*?\*/`)
	return comments.ReplaceAllString(readAll(t, filepath.Join(folder, "*.h")), "")
}

func enumerators(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, body := range regexp.MustCompile(`(?s)typedef enum \w+ \{(.*?)\}`).FindAllStringSubmatch(headers(t), -1) {
		names = append(names, regexp.MustCompile(`MOX_\w+`).FindAllString(body[1], -1)...)
	}
	if len(names) < 60 {
		t.Fatalf("only %d enumerators found in the headers", len(names))
	}
	return names
}

func functions(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, found := range regexp.MustCompile(`MOX_API [^;(]*?\b(mox_\w+)\(`).FindAllStringSubmatch(headers(t), -1) {
		names = append(names, found[1])
	}
	if len(names) < 60 {
		t.Fatalf("only %d functions found in the headers", len(names))
	}
	return names
}

// Every function of the headers is in the raw layer, and is used by the package: by itself, or by one of the calls in
// calls.c that the package uses.
func TestEveryFunctionIsReachable(t *testing.T) {
	generated := readAll(t, "internal/raw/raw.go")
	used := readAll(t, "*.go")
	bodies := map[string]string{}
	definition := regexp.MustCompile(`(?m)^\w[^\n;=(]*?(\w+)\([^;{]*\) \{(?:(.*)\}$|$((?s:.*?))^\})`)
	for _, found := range definition.FindAllStringSubmatch(readAll(t, "internal/raw/calls.c"), -1) {
		bodies[found[1]] = found[2] + found[3]
	}
	if len(bodies) < 10 {
		t.Fatalf("only %d functions found in calls.c", len(bodies))
	}
	through := map[string]string{} // C functions by the call of calls.c that the package uses
	for name, body := range bodies {
		if !strings.HasPrefix(name, "moxie_go_") {
			continue
		}
		if !strings.Contains(used, "raw.M"+name[1:]+"(") {
			t.Errorf("nothing uses %s", name)
		}
		if strings.Contains(body, "batch_of(") {
			body += bodies["batch_of"]
		}
		for _, c := range regexp.MustCompile(`\b(mox_\w+)\(`).FindAllStringSubmatch(body, -1) {
			through[c[1]] = name
		}
	}
	for _, name := range functions(t) {
		exported := "M" + name[1:]
		if !strings.Contains(generated, "\nfunc "+exported+"(") {
			t.Errorf("the raw layer lacks %s", name)
		}
		if !regexp.MustCompile(`raw\.`+exported+`\b`).MatchString(used) && through[name] == "" {
			t.Errorf("the package does not reach %s", name)
		}
	}
}

// What somebody who uses the package sees: no pointers without a type, no integers that are pointers, nothing of the
// raw layer.
func TestPublicSignaturesAreGos(t *testing.T) {
	set := token.NewFileSet()
	packages, err := parser.ParseDir(set, ".", func(file os.FileInfo) bool {
		return !strings.HasSuffix(file.Name(), "_test.go")
	}, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.PackageExports(packages["moxie"])
	seen := 0
	look := func(node ast.Node) bool {
		switch found := node.(type) {
		case *ast.SelectorExpr:
			if of, _ := found.X.(*ast.Ident); of != nil && (of.Name == "raw" || of.Name == "unsafe" || of.Name == "C") {
				t.Errorf("%v: %s.%s", set.Position(found.Pos()), of.Name, found.Sel.Name)
			}
		case *ast.Ident:
			if found.Name == "uintptr" {
				t.Errorf("%v: uintptr", set.Position(found.Pos()))
			}
		}
		return true
	}
	for _, file := range packages["moxie"].Files {
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				seen++
				if d.Doc == nil {
					t.Errorf("%v: %s has no documentation", set.Position(d.Pos()), d.Name.Name)
				}
				ast.Inspect(d.Type, look)
			case *ast.GenDecl:
				if d.Tok != token.TYPE {
					continue
				}
				seen++
				if d.Doc == nil {
					t.Errorf("%v: a type has no documentation", set.Position(d.Pos()))
				}
				ast.Inspect(d, look)
			}
		}
	}
	if seen < 100 {
		t.Fatalf("only %d public declarations found", seen)
	}
}
