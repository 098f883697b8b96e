package wire

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/metadata"
)

// FromMD returns md as it travels: without the keys that are Reserved, which gRPC leaves out, too. It returns an error for what gRPC refuses: a key has
// lower-case letters, digits, '-', '_' and '.', and a value is printable ASCII unless the key ends in "-bin".
func FromMD(md metadata.MD) ([]Metadata, error) {
	if len(md) == 0 {
		return nil, nil
	}
	out := make([]Metadata, 0, len(md))
	for key, values := range md {
		if err := validateKey(key); err != nil {
			return nil, err
		}
		reserved := Reserved(key)
		for _, v := range values {
			m := Metadata{Key: key, Value: v}
			if err := m.validateValue(); err != nil {
				return nil, err
			}
			if !reserved {
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// MD returns metadata that has arrived; nil if there is none. Entries that FromMD would refuse or leave out are dropped.
func MD(entries []Metadata) metadata.MD {
	if len(entries) == 0 {
		return nil
	}
	md := make(metadata.MD, len(entries))
	for i := range entries {
		if e := &entries[i]; !Reserved(e.Key) && e.Validate() == nil {
			md[e.Key] = append(md[e.Key], e.Value)
		}
	}
	return md
}

// Reserved reports whether key belongs to HTTP/2, or to gRPC's own work on a call, as in grpc-go (isReservedHeader of internal/transport): in metadata it
// says nothing. Other keys that begin with "grpc-", such as grpc-trace-bin and grpc-retry-pushback-ms, are metadata like any.
func Reserved(key string) bool {
	if key != "" && key[0] == ':' {
		return true
	}
	switch key {
	case "content-type", "user-agent", "grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status", "grpc-timeout", "te":
		return true
	}
	return false
}

// Validate checks a pair against gRPC's rules, which FromMD tells. A reserved key is not refused by them.
func (m *Metadata) Validate() error {
	if err := validateKey(m.Key); err != nil {
		return err
	}
	return m.validateValue()
}

func (m *Metadata) validateValue() error {
	if !m.binary() && !printable(m.Value) {
		return fmt.Errorf("parley: invalid metadata: the value of %.300q is not printable ASCII; use a key that ends in \"-bin\"", m.Key)
	}
	return nil
}

func validateKey(key string) error {
	if key == "" {
		return errors.New("parley: invalid metadata: a key is empty")
	}
	if key[0] == ':' {
		return nil // a pseudo-header of HTTP/2, whatever follows
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
