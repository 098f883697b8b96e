package endpoint

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Authorize adds to the metadata of r what its credentials, which must not be nil, say of the call, as grpc-go does for a call of its own. carrier is the
// connection that the call takes, authority the address that was dialled for it. A Caller calls it last, so that each attempt has a token of its own, which nobody
// sees but the peer. The metadata that r had is not changed, as others have it, too.
func (r *Request) Authorize(ctx context.Context, carrier *peer.Peer, authority string) *Error {
	info := credentials.RequestInfo{Method: "/" + r.Method, AuthInfo: carrier.AuthInfo}
	if r.Credentials.RequireTransportSecurity() && credentials.CheckSecurityLevel(carrier.AuthInfo, credentials.PrivacyAndIntegrity) != nil {
		return notCalled(codes.Unauthenticated, "transport: cannot send secure credentials on an insecure connection")
	}
	service, _, _ := strings.Cut(r.Method, "/")
	audience := "https://" + strings.TrimSuffix(authority, ":443") + "/" + service
	said, err := r.Credentials.GetRequestMetadata(credentials.NewContextWithRequestInfo(ctx, info), audience)
	if err != nil {
		return credentialsFailed(err)
	}
	r.Metadata = metadata.Join(metadata.New(said), r.Metadata)
	return nil
}

// credentialsFailed returns the error of a call whose credentials could not be had.
func credentialsFailed(err error) *Error {
	st, ok := status.FromError(err)
	if !ok {
		return notCalled(codes.Internal, "transport: per-RPC creds failed due to error: "+err.Error())
	}
	switch st.Code() {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.DataLoss:
		// They would seem to come from the handler (gRFC A54).
		return notCalled(codes.Internal, "transport: received per-RPC creds error with illegal status: "+err.Error())
	default:
		return notCalled(st.Code(), st.Message())
	}
}

// notCalled returns the error of a call whose credentials cannot be shown, with grpc-go's code and words.
func notCalled(code codes.Code, text string) *Error {
	e := HandlerError(status.New(code, text))
	e.Phase, e.Execution = PhaseQueued, NotExecuted
	return e
}
