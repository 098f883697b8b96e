package endpoint

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// callOptions are the grpc.CallOptions of one call, applied.
type callOptions struct {
	header, trailer *metadata.MD
	more            *moreOptions // nil if there are none
}

// moreOptions are those that few calls have.
type moreOptions struct {
	headers, trailers []*metadata.MD // beside the first of each
	peers             []*peer.Peer   // where the caller wants to know it
	maxSend, maxRecv  int            // bytes of a message; 0 for no limit but the Env's
	finish            []func(error)
}

// others returns the options that few calls have, to be changed.
func (o *callOptions) others() *moreOptions {
	if o.more == nil {
		o.more = new(moreOptions)
	}
	return o.more
}

// take applies opts, to r what is its own. stub says that they are those of a stub, which alone has OnFinish. All of them are taken, also where one is refused:
// somebody may wait for the end of the call. Types that are not gRPC's own are for interceptors.
func (o *callOptions) take(opts []grpc.CallOption, stub bool, r *Request) (refused *Error) {
	for _, opt := range opts {
		if err := o.takeOne(opt, stub, r); err != nil && refused == nil {
			refused = err
		}
	}
	return refused
}

func (o *callOptions) takeOne(opt grpc.CallOption, stub bool, r *Request) *Error {
	switch opt := opt.(type) {
	case grpc.HeaderCallOption:
		if o.header == nil {
			o.header = opt.HeaderAddr
		} else {
			o.others().headers = append(o.more.headers, opt.HeaderAddr)
		}
	case grpc.TrailerCallOption:
		if o.trailer == nil {
			o.trailer = opt.TrailerAddr
		} else {
			o.others().trailers = append(o.more.trailers, opt.TrailerAddr)
		}
	case grpc.PeerCallOption:
		o.others().peers = append(o.more.peers, opt.PeerAddr)
	case grpc.FailFastCallOption:
		r.WaitForReady = !opt.FailFast
	case grpc.MaxRecvMsgSizeCallOption:
		o.others().maxRecv = max(opt.MaxRecvMsgSize, 1)
	case grpc.MaxSendMsgSizeCallOption:
		o.others().maxSend = max(opt.MaxSendMsgSize, 1)
	case grpc.PerRPCCredsCallOption:
		r.Credentials = opt.Creds // as with gRPC, of several the last
	case grpc.OnFinishCallOption:
		if !stub {
			return refusedOption("grpc.OnFinish is for stubs and streaming calls")
		}
		o.others().finish = append(o.more.finish, opt.OnFinish)
	case grpc.ContentSubtypeCallOption:
		if opt.ContentSubtype != "proto" && opt.ContentSubtype != "" {
			return refusedOption("content-subtype %.100q: an endpoint takes protobuf", opt.ContentSubtype)
		}
	case grpc.ForceCodecCallOption, grpc.ForceCodecV2CallOption, grpc.CustomCodecCallOption:
		return refusedOption("call option %T: an endpoint takes protobuf", opt)
	}
	return nil
}

func refusedOption(format string, args ...any) *Error {
	return &Error{Reason: ReasonInvalid, Text: fmt.Sprintf(format, args...), Execution: NotExecuted}
}

// fill gives the caller the metadata of the answer where it wants that.
func (o *callOptions) fill(header, trailer metadata.MD) {
	if o.header != nil {
		*o.header = header
	}
	if o.trailer != nil {
		*o.trailer = trailer
	}
	if o.more == nil {
		return
	}
	for _, to := range o.more.headers {
		*to = header.Copy()
	}
	for _, to := range o.more.trailers {
		*to = trailer.Copy()
	}
}

// wantsPeer reports whether the caller wants to know the peer.
func (o *callOptions) wantsPeer() bool { return o.more != nil && len(o.more.peers) > 0 }

// fillPeer tells the caller who is at the other end of the connection that the call took, if it wants to know it. Nothing is told
// of nobody.
func (o *callOptions) fillPeer(p *peer.Peer) {
	if o.more == nil || p == nil || p.Addr == nil {
		return
	}
	for _, to := range o.more.peers {
		*to = *p
	}
}

// finished tells who wants to know that the call has ended, with err; o may be nil.
func (o *moreOptions) finished(err error) {
	if o == nil {
		return
	}
	for _, f := range o.finish {
		f(err)
	}
}

// check holds r to the options.
func (o *moreOptions) check(r *Request) *Error {
	if o.maxSend == 0 || r.Message == nil { // the messages of a streaming call come later
		return nil
	}
	if size := proto.Size(r.Message); size > o.maxSend {
		return tooLargeToSend(size, o.maxSend)
	}
	return nil
}

func tooLargeToSend(size, limit int) *Error {
	return &Error{Reason: ReasonTooLarge, Text: fmt.Sprintf("%d bytes, where the call allows %d", size, limit), Phase: PhaseQueued, Execution: NotExecuted, Setting: "grpc.MaxCallSendMsgSize"}
}
