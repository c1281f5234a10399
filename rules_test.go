package rondo_test

import (
	"cmp"
	"go/ast"
	"go/token"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The sizes of the house.
const (
	maxFile      = 500 // lines, tests too
	medianFile   = 150 // lines, without tests
	maxFunc      = 80  // lines
	maxInterface = 7   // methods; an embedded interface counts as one
	maxConfig    = 12  // fields
)

func TestHouse_Names(t *testing.T) {
	forbidden := []string{"util", "utils", "common", "helper", "helpers", "shared", "base", "model", "models", "types", "misc", "core"}
	judge(t, "names", func(v *verdict, k *pkg) {
		if slices.Contains(forbidden, k.name) || slices.Contains(forbidden, path.Base(k.dir)) {
			v.breaks(k.dir, "package %s: a package is named for what it is", k.name)
		}
		last := path.Base(k.dir)
		if len(k.files) > 0 && k.name != "main" && k.dir != "." && k.name != last {
			v.breaks(k.dir, "package %s is named unlike its folder", k.name)
		}
	})
}

// Each package says once what it is.
func TestHouse_PackageComments(t *testing.T) {
	judge(t, "package comment", func(v *verdict, k *pkg) {
		var docs []string
		for _, f := range k.files {
			if f.ast.Doc == nil {
				continue
			}
			docs = append(docs, f.path)
			subject := "package " + k.name
			if k.name == "main" {
				subject = path.Base(k.dir)
			}
			if text := strings.ToLower(f.ast.Doc.Text()); !strings.HasPrefix(strings.TrimPrefix(text, "command "), subject+" ") {
				v.breaks(f.path, "its package comment does not begin with %q", subject)
			}
		}
		if len(k.files) > 0 && len(docs) != 1 {
			v.breaks(k.dir, "has %d package comments %v, not one", len(docs), docs)
		}
	})
}

func TestHouse_FileSizes(t *testing.T) {
	var sizes []int
	judge(t, "file size", func(v *verdict, k *pkg) {
		for _, f := range slices.Concat(k.files, k.tests) {
			if f.lines > maxFile {
				v.breaks(f.path, "%d lines, more than %d", f.lines, maxFile)
			}
		}
		for _, f := range k.files {
			sizes = append(sizes, f.lines)
		}
	})
	slices.Sort(sizes)
	require.LessOrEqual(t, sizes[len(sizes)/2], medianFile, "median of %d files", len(sizes))
}

func TestHouse_FunctionSizes(t *testing.T) {
	eachFunc(t, "function size", func(v *verdict, k *pkg, f *file, fn *ast.FuncDecl) {
		if fn.Body == nil {
			return
		}
		n := f.fset.Position(fn.Body.Rbrace).Line - f.fset.Position(fn.Pos()).Line + 1
		if n > maxFunc {
			v.breaks(name(k, fn), "%d lines (%s), more than %d", n, f.at(fn), maxFunc)
		}
	})
}

func TestHouse_TypeSizes(t *testing.T) {
	eachType(t, "type size", func(v *verdict, k *pkg, f *file, s *ast.TypeSpec) {
		subject := k.dir + "." + s.Name.Name
		switch typ := s.Type.(type) {
		case *ast.InterfaceType:
			if n := fields(typ.Methods); n > maxInterface {
				v.breaks(subject, "%d methods (%s), more than %d", n, f.at(s), maxInterface)
			}
		case *ast.StructType:
			if n := fields(typ.Fields); n > maxConfig && strings.HasSuffix(s.Name.Name, "Config") {
				v.breaks(subject, "%d fields (%s), more than %d", n, f.at(s), maxConfig)
			}
			for _, field := range typ.Fields.List {
				if isContext(field.Type) && !k.streams(s.Name.Name) {
					v.breaks(subject, "keeps a context (%s)", f.at(field))
				}
			}
		case *ast.FuncType:
			if strings.HasSuffix(s.Name.Name, "Option") {
				v.breaks(subject, "is a functional option (%s)", f.at(s))
			}
		}
	})
}

// streams reports whether the type has a Read or a Write, which have no place
// for a context.
func (k *pkg) streams(typ string) bool {
	for _, f := range k.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && receiver(fn) == typ && (fn.Name.Name == "Read" || fn.Name.Name == "Write") {
				return true
			}
		}
	}
	return false
}

// Exported names say what they are. Methods that only satisfy a well-known
// interface need not.
func TestHouse_Documented(t *testing.T) {
	wellKnown := []string{
		"Error", "Unwrap", "Is", "As", "String", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText",
		"MarshalYAML", "UnmarshalYAML", "Value", "Scan", "Len", "Less", "Swap",
	}
	eachFunc(t, "documented", func(v *verdict, k *pkg, f *file, fn *ast.FuncDecl) {
		hidden := k.name == "main" || !fn.Name.IsExported() || fn.Recv != nil &&
			(!ast.IsExported(receiver(fn)) || slices.Contains(wellKnown, fn.Name.Name))
		if !hidden && fn.Doc == nil {
			v.breaks(name(k, fn), "says nothing (%s)", f.at(fn))
		}
	})
	judge(t, "documented", func(v *verdict, k *pkg) {
		for _, f := range k.files {
			for _, d := range f.ast.Decls {
				if g, ok := d.(*ast.GenDecl); ok && k.name != "main" {
					for _, s := range g.Specs {
						documented(v, k, f, g, s)
					}
				}
			}
		}
	})
}

// documented judges one declaration of types, constants or variables. In a
// group the comment of the group does for all of its constants.
func documented(v *verdict, k *pkg, f *file, g *ast.GenDecl, s ast.Spec) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && (g.Doc == nil || g.Lparen.IsValid()) {
			v.breaks(k.dir+"."+s.Name.Name, "says nothing (%s)", f.at(s))
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && s.Doc == nil && s.Comment == nil && g.Doc == nil {
				v.breaks(k.dir+"."+n.Name, "says nothing (%s)", f.at(s))
			}
		}
	}
}

// Packages that can be called show how.
func TestHouse_Examples(t *testing.T) {
	judge(t, "examples", func(v *verdict, k *pkg) {
		entry := ""
		for _, f := range k.files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.IsExported() {
					entry = cmp.Or(entry, fn.Name.Name)
				}
			}
		}
		shown := k.name == "main" || k.suite() || strings.Contains(k.dir+"/", "/internal/") ||
			strings.HasPrefix(k.dir, "examples/") // they are examples themselves
		for _, f := range k.tests {
			for _, d := range f.ast.Decls {
				fn, ok := d.(*ast.FuncDecl)
				shown = shown || ok && strings.HasPrefix(fn.Name.Name, "Example")
			}
		}
		if entry != "" && !shown {
			v.breaks(k.dir, "no Example, of %s for one", entry)
		}
	})
}

// No init, no exit outside cmd, no panic, no goroutine from a constructor, the
// context first, no channel as a sequence.
func TestHouse_Functions(t *testing.T) {
	eachFunc(t, "functions", func(v *verdict, k *pkg, f *file, fn *ast.FuncDecl) {
		subject := name(k, fn)
		if fn.Name.Name == "init" && fn.Recv == nil {
			v.breaks(subject, "init (%s)", f.at(fn))
		}
		for i, p := range fn.Type.Params.List {
			if isContext(p.Type) && (i > 0 || len(p.Names) > 1) {
				v.breaks(subject, "context is not the first parameter (%s)", f.at(fn))
			}
		}
		if fn.Type.Results != nil && fn.Name.IsExported() && (fn.Recv == nil || ast.IsExported(receiver(fn))) {
			for _, r := range fn.Type.Results.List {
				if c, ok := r.Type.(*ast.ChanType); ok && c.Dir == ast.RECV && !isEmptyStruct(c.Value) {
					v.breaks(subject, "returns a channel, not an iter.Seq2 (%s)", f.at(fn))
				}
			}
		}
		constructor := fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "New") || strings.HasPrefix(fn.Name.Name, "Open"))
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				if constructor {
					v.breaks(subject, "a constructor that starts a goroutine (%s)", f.at(n))
				}
			case *ast.CallExpr:
				call(v, k, f, subject, n)
			}
			return true
		})
	})
}

// call judges one call.
func call(v *verdict, k *pkg, f *file, subject string, n *ast.CallExpr) {
	inCmd := strings.HasPrefix(k.dir, "cmd/")
	switch fun := n.Fun.(type) {
	case *ast.Ident:
		if fun.Name == "panic" && fun.Obj == nil {
			v.breaks(subject, "panics (%s)", f.at(n))
		}
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		if !ok || x.Obj != nil {
			return
		}
		called := x.Name + "." + fun.Sel.Name
		exits := called == "os.Exit" || called == "log.Panic" || strings.HasPrefix(called, "log.Fatal") || called == "runtime.Goexit"
		if exits && !inCmd && k.name != "main" {
			v.breaks(subject, "calls %s (%s)", called, f.at(n))
		}
		if (called == "fmt.Errorf" || called == "errors.New") && len(n.Args) > 0 {
			if text, ok := n.Args[0].(*ast.BasicLit); ok && strings.Contains(strings.ToLower(text.Value), "failed to") {
				v.breaks(subject, `an error says "failed to" (%s)`, f.at(n))
			}
		}
	}
}

// Package variables are tables and sentinels: nothing writes them.
func TestHouse_NoGlobalState(t *testing.T) {
	judge(t, "globals", func(v *verdict, k *pkg) {
		globals := map[string]bool{}
		specs := map[any]bool{}
		for _, f := range k.files {
			for _, d := range f.ast.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				for _, s := range g.Specs {
					s := s.(*ast.ValueSpec)
					specs[s] = true
					for _, n := range s.Names {
						globals[n.Name] = true
					}
					if sel, ok := s.Type.(*ast.SelectorExpr); ok {
						if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") {
							v.breaks(k.dir+"."+s.Names[0].Name, "is state (%s)", f.at(s))
						}
					}
				}
			}
		}
		for _, f := range k.files {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				for _, id := range written(n) {
					// The parser resolves names within a file; what it cannot
					// resolve is declared in another file of the package.
					ours := id.Obj == nil || specs[id.Obj.Decl]
					if ours && globals[id.Name] && id.Name != "_" {
						v.breaks(k.dir+"."+id.Name, "is written (%s)", f.at(id))
					}
				}
				return true
			})
		}
	})
}

// written returns the variables that a statement writes, whole or in part.
func written(n ast.Node) []*ast.Ident {
	var targets []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			targets = n.Lhs
		}
	case *ast.IncDecStmt:
		targets = []ast.Expr{n.X}
	}
	var out []*ast.Ident
	for _, t := range targets {
		for {
			if i, ok := t.(*ast.IndexExpr); ok {
				t = i.X
			} else if s, ok := t.(*ast.SelectorExpr); ok {
				t = s.X
			} else {
				break
			}
		}
		if id, ok := t.(*ast.Ident); ok {
			out = append(out, id)
		}
	}
	return out
}

// The repository has what a stranger looks for, and names no package registry:
// where packages come from is the user's business.
func TestHouse_Repository(t *testing.T) {
	licence, err := os.ReadFile("LICENSE")
	require.NoError(t, err)
	require.Contains(t, string(licence), "Apache License")
	require.Contains(t, string(licence), "Version 2.0, January 2004")
	for _, f := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", ".ci/run", "go.mod", "go.sum"} {
		require.FileExists(t, f)
	}
	registries := []string{ // in two parts, so that this file names none
		"proxy.golang" + ".org", "sum.golang" + ".org", "registry.npmjs" + ".org", "registry.yarnpkg" + ".com", "pypi" + ".org",
		"files.pythonhosted" + ".org", "rubygems" + ".org", "crates" + ".io", "repo.maven.apache" + ".org", "repo1.maven" + ".org",
		"deb.debian" + ".org", "archive.ubuntu" + ".com", "registry-1.docker" + ".io", "packagist" + ".org", "nuget" + ".org",
	}
	v := &verdict{rule: "registries"}
	require.NoError(t, walk(func(p string, text []byte) error {
		for _, host := range registries {
			if strings.Contains(string(text), host) {
				v.breaks(p, "names %s", host)
			}
		}
		return nil
	}))
	report(t, v)
}

// eachFunc judges every function outside the tests.
func eachFunc(t *testing.T, rule string, check func(*verdict, *pkg, *file, *ast.FuncDecl)) {
	t.Helper()
	judge(t, rule, func(v *verdict, k *pkg) {
		for _, f := range k.files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					check(v, k, f, fn)
				}
			}
		}
	})
}

// eachType judges every type outside the tests.
func eachType(t *testing.T, rule string, check func(*verdict, *pkg, *file, *ast.TypeSpec)) {
	t.Helper()
	judge(t, rule, func(v *verdict, k *pkg) {
		for _, f := range k.files {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if s, ok := n.(*ast.TypeSpec); ok {
					check(v, k, f, s)
				}
				return true
			})
		}
	})
}

// name returns the full name of a function: folder.Receiver.Name.
func name(k *pkg, fn *ast.FuncDecl) string {
	if r := receiver(fn); r != "" {
		return k.dir + "." + r + "." + fn.Name.Name
	}
	return k.dir + "." + fn.Name.Name
}

// receiver returns the name of the type that a method is of.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// fields counts the fields of a struct or the methods of an interface.
func fields(l *ast.FieldList) int {
	n := 0
	for _, f := range l.List {
		n += max(1, len(f.Names))
	}
	return n
}

func isContext(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "context" && s.Sel.Name == "Context"
}

func isEmptyStruct(e ast.Expr) bool {
	s, ok := e.(*ast.StructType)
	return ok && len(s.Fields.List) == 0
}
