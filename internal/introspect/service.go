package introspect

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/grpc_channelz_v1"
	channelzservice "google.golang.org/grpc/channelz/service"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/server"
)

// Name is the full name of the service.
const Name = "parley.v1.Introspection"

// Source is an Env that is looked at.
type Source interface {
	// ID, Name and Address are those of the Env.
	ID() string
	Name() string
	Address() string
	// Ignored returns how many one-way messages came for nobody, and how many replies too late.
	Ignored() (dropped, lateReplies uint64)
	// Endpoints and Sessions return what the Env has at the moment.
	Endpoints(server.Query) (infos []endpoint.Info, more bool)
	Sessions() []endpoint.SessionInfo
}

// Register puts the services on a gRPC server, before it serves. authorize is called for each call, after the interceptors of the server. A
// server that has channelz already keeps its own.
func Register(r grpc.ServiceRegistrar, s Source, authorize func(ctx context.Context) error) {
	behind := guarded{to: r, authorize: authorize}
	parleyv1.RegisterIntrospectionServer(behind, &service{source: s})
	if !Has(r, channelz.Channelz_ServiceDesc.ServiceName) {
		channelzservice.RegisterChannelzServiceToServer(behind)
	}
}

// Has reports whether r is known to have a service of that name.
func Has(r grpc.ServiceRegistrar, service string) bool {
	s, ok := r.(interface {
		GetServiceInfo() map[string]grpc.ServiceInfo
	})
	if !ok {
		return false
	}
	_, has := s.GetServiceInfo()[service]
	return has
}

// service implements the service. It has no state of its own.
type service struct {
	parleyv1.UnimplementedIntrospectionServer
	source Source
}

// ListEndpoints implements parleyv1.IntrospectionServer.
func (s *service) ListEndpoints(_ context.Context, r *parleyv1.ListEndpointsRequest) (*parleyv1.ListEndpointsResponse, error) {
	most, after, err := pageOf(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	infos, more := s.source.Endpoints(server.Query{Contains: r.GetName(), AfterName: after.text, AfterNumber: uint64(after.number), Most: most})
	dropped, late := s.source.Ignored()
	page := &parleyv1.ListEndpointsResponse{Env: &parleyv1.EnvInfo{
		Id: s.source.ID(), Name: text(s.source.Name()), Address: s.source.Address(), Dropped: dropped, LateReplies: late,
	}}
	size := 0
	for i := range infos {
		e := endpointInfo(&infos[i])
		if size += proto.Size(e); size > maxPageBytes && i > 0 {
			infos, more = infos[:i], true
			break
		}
		page.Endpoints = append(page.Endpoints, e)
	}
	if more {
		last := &infos[len(infos)-1]
		page.NextPageToken = position{number: int64(last.Number), text: last.Name}.token()
	}
	return page, nil
}

// ListSessions implements parleyv1.IntrospectionServer.
func (s *service) ListSessions(_ context.Context, r *parleyv1.ListSessionsRequest) (*parleyv1.ListSessionsResponse, error) {
	most, after, err := pageOf(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	all := s.source.Sessions()
	all = slices.DeleteFunc(all, func(i endpoint.SessionInfo) bool {
		return r.GetPageToken() != "" && positionOf(&i).compare(after) <= 0 || !mentions(&i, r.GetPeer())
	})
	slices.SortFunc(all, func(a, b endpoint.SessionInfo) int { return positionOf(&a).compare(positionOf(&b)) })
	page := &parleyv1.ListSessionsResponse{}
	now, size := time.Now(), 0
	for i := range all {
		e := sessionInfo(&all[i], now)
		if size += proto.Size(e); i > 0 && (i == most || size > maxPageBytes) {
			page.NextPageToken = positionOf(&all[i-1]).token()
			break
		}
		page.Sessions = append(page.Sessions, e)
	}
	return page, nil
}

// positionOf returns the place of a session in the list: by age, and where that is the same, by id.
func positionOf(i *endpoint.SessionInfo) position {
	return position{number: i.Opened.UnixNano(), text: i.Peer.Session}
}

func (p position) compare(other position) int {
	return cmp.Or(cmp.Compare(p.number, other.number), strings.Compare(p.text, other.text))
}

// mentions reports whether what is known of the peer has part in it.
func mentions(i *endpoint.SessionInfo, part string) bool {
	for _, s := range []string{i.Peer.Address, i.Peer.EnvID, i.Peer.Remote, i.Remote, i.Peer.Session} {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
