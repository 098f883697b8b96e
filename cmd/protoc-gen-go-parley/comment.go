package main

import (
	"fmt"
	"go/build/constraint"
	"strings"
	"unicode"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// proseWidth is how wide the generator's own comments are, without indentation.
const proseWidth = 116

// The numbers of fields of descriptor.proto's FileDescriptorProto, by which comments of a file are found.
const (
	fileSyntaxField  = 12
	filePackageField = 2
	fileEditionField = 14
)

// A paragraph is lines of a comment, with their slashes. An empty one is nothing.
type paragraph []string

// comment writes paragraphs as one comment.
func (out *output) comment(paragraphs ...paragraph) {
	separate := false
	for _, lines := range paragraphs {
		if separate && len(lines) > 0 {
			out.P("//")
		}
		for _, line := range lines {
			out.P(line)
		}
		separate = separate || len(lines) > 0
	}
}

// prose returns the generator's own words, wrapped.
func prose(text ...any) paragraph {
	var lines paragraph
	line := "//"
	for word := range strings.FieldsSeq(fmt.Sprint(text...)) {
		if line != "//" && len(line)+1+len(word) > proseWidth {
			lines = append(lines, line)
			line = "//"
		}
		line += " " + word
	}
	return append(lines, line)
}

// carried returns a comment of a .proto file, line by line. Nothing in it is a directive: those need "//" without a space,
// but for "// +build", which is broken up.
func carried(comment protogen.Comments) paragraph {
	if strings.TrimSpace(string(comment)) == "" {
		return nil
	}
	var lines paragraph
	for line := range strings.SplitSeq(strings.Trim(string(comment), "\n"), "\n") {
		line = strings.TrimRight(strings.Map(printable, line), " \t")
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			line = " " + line
		}
		line = "//" + line
		if constraint.IsPlusBuild(line) {
			line = strings.Replace(line, "+", "+ ", 1)
		}
		lines = append(lines, line)
	}
	return lines
}

// printable replaces what a Go source file must not have.
func printable(r rune) rune {
	switch {
	case r == '\t':
		return r
	case r == '\r':
		return -1
	case r == '\ufeff', unicode.IsControl(r):
		return unicode.ReplacementChar
	default:
		return r
	}
}

// packageComment returns the comment before the package statement of a .proto file, and that before its first line. A
// comment with an empty line after it, as a licence has, belongs to neither.
func packageComment(file *protogen.File) (before, first paragraph) {
	leading := func(field int32) paragraph {
		location := file.Desc.SourceLocations().ByPath(protoreflect.SourcePath{field})
		return carried(protogen.Comments(location.LeadingComments))
	}
	return leading(filePackageField), append(leading(fileSyntaxField), leading(fileEditionField)...)
}

// notice returns what marks a deprecated service or method as such in Go: nil for others, and if its comment, carried
// along, does already. A service is deprecated if its file is.
func notice(d protoreflect.Descriptor, carriedAlong protogen.CommentSet) paragraph {
	if !isDeprecated(d) || hasNotice(carriedAlong.Leading) || hasNotice(carriedAlong.Trailing) {
		return nil
	}
	return prose("Deprecated: Marked as deprecated in ", d.ParentFile().Path(), ".")
}

func isDeprecated(d protoreflect.Descriptor) bool {
	switch options := d.Options().(type) {
	case *descriptorpb.MethodOptions:
		return options.GetDeprecated()
	case *descriptorpb.ServiceOptions:
		return options.GetDeprecated() || isDeprecated(d.ParentFile())
	case *descriptorpb.FileOptions:
		return options.GetDeprecated()
	default:
		return false
	}
}

// hasNotice reports whether comment has a line that marks a deprecation in Go.
func hasNotice(comment protogen.Comments) bool {
	for line := range strings.SplitSeq(string(comment), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "Deprecated:") {
			return true
		}
	}
	return false
}
