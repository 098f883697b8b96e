package main

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/compiler/protogen"
)

// callbacks are the methods by which an endpoint has the callbacks of package endpoint (lifecycle.go there).
var callbacks = []string{"OnStart", "OnStop", "OnError", "OnConnected", "OnDisconnected", "OnNetworkError"}

// check returns all that is wrong with the names in files, the files with output; nil if that will compile.
func check(files []*protogen.File) error {
	var problems []error
	packages := map[protogen.GoImportPath]declarations{}
	for _, file := range files {
		declared := packages[file.GoImportPath]
		if declared == nil {
			declared = declarations{}
			packages[file.GoImportPath] = declared
		}
		for _, service := range file.Services {
			problems = append(problems, checkCallbacks(file, service)...)
			problems = append(problems, declared.add(file, service)...)
		}
	}
	return errors.Join(problems...)
}

func checkCallbacks(file *protogen.File, service *protogen.Service) []error {
	var problems []error
	for _, method := range service.Methods {
		if slices.Contains(callbacks, method.GoName) {
			problems = append(problems, fmt.Errorf("%s: service %s: rpc %s has the name of the endpoint callback %s, and an endpoint cannot have both: rename the rpc",
				file.Desc.Path(), service.Desc.Name(), method.Desc.Name(), method.GoName))
		}
	}
	return problems
}

// declarations maps the identifiers of a generated package to what they are made for.
type declarations map[string]string

// add declares what is made for service.
func (d declarations) add(file *protogen.File, service *protogen.Service) []error {
	var problems []error
	declare := func(in declarations, identifier, origin string) {
		if other, ok := in[identifier]; ok {
			problems = append(problems, fmt.Errorf("%s: %s and %s both become %s in Go: rename one of them",
				file.Desc.Path(), other, origin, identifier))
			return
		}
		in[identifier] = origin
	}
	origin := fmt.Sprintf("service %s", service.Desc.FullName())
	for _, identifier := range serviceIdentifiers(service) {
		declare(d, identifier, origin)
	}
	fields := declarations{}
	for _, method := range service.Methods {
		origin := fmt.Sprintf("rpc %s/%s", service.Desc.FullName(), method.Desc.Name())
		if _, ok := fields[fieldName(method)]; !ok { // or the constants would be reported for the same reason
			declare(d, methodConst(method), origin)
		}
		declare(fields, fieldName(method), origin)
	}
	return problems
}
