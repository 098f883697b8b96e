package main

import (
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"

	"google.golang.org/protobuf/compiler/protogen"
)

const (
	contextPath  protogen.GoImportPath = "context"
	endpointPath protogen.GoImportPath = "github.com/parley-rpc/parley/endpoint"
)

// imports maps what a generated file imports to names. Those of package protogen are the last elements of the paths, mostly
// "v1"; these are the packages' own.
type imports map[protogen.GoImportPath]string

// newImports returns the imports of what is generated for file.
func newImports(gen *protogen.Plugin, file *protogen.File) imports {
	packageNames := map[protogen.GoImportPath]string{}
	for _, f := range gen.Files {
		packageNames[f.GoImportPath] = string(f.GoPackageName)
	}
	needed := map[protogen.GoImportPath]bool{}
	for _, service := range file.Services {
		for _, method := range service.Methods {
			needed[method.Input.GoIdent.GoImportPath] = true
			needed[method.Output.GoIdent.GoImportPath] = true
		}
	}

	im := imports{contextPath: "context", endpointPath: "endpoint"}
	// What generated functions use, which would hide an import of the same name.
	taken := map[string]bool{"context": true, "endpoint": true, "b": true, "ctx": true, "env": true, "err": true, "error": true, "impl": true,
		"name": true, "nil": true, "opts": true, "r": true, "req": true, "string": true, "uri": true}
	for _, importPath := range slices.Sorted(maps.Keys(needed)) {
		name := packageNames[importPath]
		for n := 2; taken[name] || token.IsKeyword(name); n++ {
			name = packageNames[importPath] + "_" + strconv.Itoa(n)
		}
		taken[name] = true
		im[importPath] = name
	}
	return im
}

// name returns how the file names ident.
func (im imports) name(ident protogen.GoIdent) string {
	return im[ident.GoImportPath] + "." + ident.GoName
}

// declare writes the import declaration.
func (im imports) declare(g *protogen.GeneratedFile) {
	g.P("import (")
	g.P(strconv.Quote(string(contextPath)))
	g.P()
	for _, importPath := range slices.Sorted(maps.Keys(im)) {
		switch name := im[importPath]; {
		case importPath == contextPath:
		case name == path.Base(string(importPath)):
			g.P(strconv.Quote(string(importPath)))
		default:
			g.P(name, " ", strconv.Quote(string(importPath)))
		}
	}
	g.P(")")
}
