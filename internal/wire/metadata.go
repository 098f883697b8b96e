package wire

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/metadata"
)

// FromMD returns md as it travels, or an error if a key or value is not allowed by gRPC's rules: keys are of lower-case letters,
// digits, '-', '_' and '.', do not begin with "grpc-", and values are printable ASCII unless the key ends in "-bin".
func FromMD(md metadata.MD) ([]Metadata, error) {
	if len(md) == 0 {
		return nil, nil
	}
	out := make([]Metadata, 0, len(md))
	for key, values := range md {
		for _, v := range values {
			m := Metadata{Key: key, Value: v}
			if err := m.Validate(); err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// MD returns metadata that has arrived; nil if there is none. Entries that FromMD would refuse are dropped.
func MD(entries []Metadata) metadata.MD {
	if len(entries) == 0 {
		return nil
	}
	md := make(metadata.MD, len(entries))
	for _, e := range entries {
		if e.Validate() == nil {
			md[e.Key] = append(md[e.Key], e.Value)
		}
	}
	return md
}

// Validate checks a pair against gRPC's rules, which FromMD tells.
func (m *Metadata) Validate() error {
	if err := validateKey(m.Key); err != nil {
		return err
	}
	if !m.binary() && !printable(m.Value) {
		return fmt.Errorf("parley: invalid metadata: the value of %q is not printable ASCII; use a key that ends in \"-bin\"", m.Key)
	}
	return nil
}

func validateKey(key string) error {
	if key == "" || strings.HasPrefix(key, "grpc-") {
		return fmt.Errorf("parley: invalid metadata: key %.300q is empty or reserved", key)
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("parley: invalid metadata: key %.300q has characters other than a-z, 0-9, '-', '_' and '.'", key)
		}
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
