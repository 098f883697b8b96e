package endpoint

import "fmt"

// maxNameBytes is part of the wire protocol: every language refuses longer names.
const maxNameBytes = 255

// ValidateName reports whether name can be the name of an endpoint: 1 to 255 bytes of RFC 3986 unreserved characters, which
// are the ASCII letters and digits, "-", ".", "_" and "~". Names are case-sensitive. The error wraps ErrInvalid and
// quotes the name.
func ValidateName(name string) error {
	if reason := nameProblem(name); reason != "" {
		return newInvalidError("endpoint name", name, reason)
	}
	return nil
}

// nameProblem returns what is wrong with an endpoint's name, or "".
func nameProblem(name string) string {
	if name == "" {
		return "the name is empty"
	}
	if len(name) > maxNameBytes {
		return fmt.Sprintf("the name has %d bytes, and at most %d are allowed", len(name), maxNameBytes)
	}
	for _, r := range name {
		if !isLetterOrDigit(r) && r != '-' && r != '.' && r != '_' && r != '~' {
			return fmt.Sprintf(`the name has %q, and only ASCII letters, digits, "-", ".", "_" and "~" are allowed`, r)
		}
	}
	return ""
}

func isLetterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
