package introspect

import (
	"encoding/base64"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The limits of a page, as introspection.proto says.
const (
	defaultPage  = 100
	largestPage  = 1000
	maxPageBytes = 1 << 20
)

// position is where a page ends.
type position struct {
	number int64
	text   string
}

// token returns p as a page token, which says nothing to its bearer.
func (p position) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.number, 10) + "/" + p.text))
}

// pageOf returns how many entries a page has, and where it begins.
func pageOf(size int32, token string) (most int, after position, err error) {
	switch {
	case size < 0:
		return 0, after, status.Error(codes.InvalidArgument, "page_size is below zero")
	case size == 0:
		most = defaultPage
	default:
		most = min(int(size), largestPage)
	}
	if token == "" {
		return most, after, nil
	}
	malformed := status.Error(codes.InvalidArgument, "page_token is malformed: it must be the next_page_token of the page before")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, after, malformed
	}
	number, text, ok := strings.Cut(string(raw), "/")
	if after.number, err = strconv.ParseInt(number, 10, 64); err != nil || !ok {
		return 0, after, malformed
	}
	after.text = text
	return most, after, nil
}
