package endpoint

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// callOptions are the grpc.CallOptions of one call, applied.
type callOptions struct {
	header, trailer *metadata.MD
	stub            *stubOptions // nil if there are none
}

// stubOptions are those that only a Conn knows.
type stubOptions struct {
	peer             *peer.Peer // where the caller wants to know it
	maxSend, maxRecv int        // bytes of a message; 0 for no limit but the Env's
	credentials      []credentials.PerRPCCredentials
	finish           []func(error)
}

// take applies opts, to r what is its own; stub says that they are those of a Conn.
func (o *callOptions) take(opts []grpc.CallOption, stub bool, r *Request) *Error {
	for _, opt := range opts {
		switch opt := opt.(type) {
		case grpc.HeaderCallOption:
			o.header = opt.HeaderAddr
		case grpc.TrailerCallOption:
			o.trailer = opt.TrailerAddr
		case grpc.FailFastCallOption:
			r.WaitForReady = !opt.FailFast
		case grpc.EmptyCallOption, grpc.StaticMethodCallOption:
		default:
			if !stub {
				return &Error{Reason: ReasonInvalid, Text: fmt.Sprintf("call option %T is not supported by Parley's verbs", opt), Execution: NotExecuted}
			}
			if err := o.takeStub(opt); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeStub applies an option that only a Conn knows.
func (o *callOptions) takeStub(opt grpc.CallOption) *Error {
	if o.stub == nil {
		o.stub = new(stubOptions)
	}
	s := o.stub
	switch opt := opt.(type) {
	case grpc.PeerCallOption:
		s.peer = opt.PeerAddr
	case grpc.MaxRecvMsgSizeCallOption:
		s.maxRecv = max(opt.MaxRecvMsgSize, 1)
	case grpc.MaxSendMsgSizeCallOption:
		s.maxSend = max(opt.MaxSendMsgSize, 1)
	case grpc.PerRPCCredsCallOption:
		s.credentials = append(s.credentials, opt.Creds)
	case grpc.OnFinishCallOption:
		s.finish = append(s.finish, opt.OnFinish)
	case grpc.CompressorCallOption, grpc.MaxRetryRPCBufferSizeCallOption, grpc.AuthorityOverrideCallOption:
		// They concern an HTTP/2 stream of the call's own, and there is none.
	case grpc.ContentSubtypeCallOption:
		if opt.ContentSubtype != "proto" && opt.ContentSubtype != "" {
			return &Error{Reason: ReasonInvalid, Text: fmt.Sprintf("content-subtype %.100q: an endpoint takes protobuf", opt.ContentSubtype), Execution: NotExecuted}
		}
	default:
		return &Error{Reason: ReasonInvalid, Text: fmt.Sprintf("call option %T is not supported over an endpoint", opt), Execution: NotExecuted}
	}
	return nil
}

// finished tells who wants to know that the call has ended, with err; s may be nil.
func (s *stubOptions) finished(err error) {
	if s == nil {
		return
	}
	for _, f := range s.finish {
		f(err)
	}
}

// check holds r to the options, and adds what credentials say.
func (s *stubOptions) check(ctx context.Context, c *methodCore, r *Request) *Error {
	if s.maxSend > 0 && r.Message != nil { // the messages of a streaming call come later
		if size := proto.Size(r.Message); size > s.maxSend {
			return &Error{Reason: ReasonTooLarge, Text: fmt.Sprintf("%d bytes, where the call allows %d", size, s.maxSend), Phase: PhaseQueued, Execution: NotExecuted, Setting: "grpc.MaxCallSendMsgSize"}
		}
	}
	if s.peer == nil && len(s.credentials) == 0 {
		return nil
	}
	carrier, err := c.caller.Carrier(ctx, r.WaitForReady)
	if err != nil {
		return err
	}
	if s.peer != nil {
		*s.peer = *carrier
	}
	for _, creds := range s.credentials {
		if err := addCredentials(ctx, creds, carrier, r); err != nil {
			return err
		}
	}
	return nil
}

// addCredentials adds what creds say of the call to r, as grpc-go does for a call of its own.
func addCredentials(ctx context.Context, creds credentials.PerRPCCredentials, carrier *peer.Peer, r *Request) *Error {
	info := credentials.RequestInfo{Method: "/" + r.Method, AuthInfo: carrier.AuthInfo}
	if creds.RequireTransportSecurity() && credentials.CheckSecurityLevel(carrier.AuthInfo, credentials.PrivacyAndIntegrity) != nil {
		return notCalled(codes.Unauthenticated, "transport: cannot send secure credentials on an insecure connection")
	}
	service, _, _ := strings.Cut(r.Method, "/")
	said, err := creds.GetRequestMetadata(credentials.NewContextWithRequestInfo(ctx, info), "https://"+carrier.Addr.String()+"/"+service)
	if err != nil {
		if st, ok := status.FromError(err); ok {
			return notCalled(st.Code(), st.Message())
		}
		return notCalled(codes.Internal, "transport: per-RPC creds failed due to error: "+err.Error())
	}
	md := r.Metadata.Copy()
	if md == nil {
		md = metadata.MD{}
	}
	for key, value := range said {
		md.Append(key, value)
	}
	r.Metadata = md
	return nil
}

// notCalled returns the error of a call whose credentials cannot be shown, with grpc-go's code and words.
func notCalled(code codes.Code, text string) *Error {
	e := HandlerError(status.New(code, text))
	e.Phase, e.Execution = PhaseQueued, NotExecuted
	return e
}
