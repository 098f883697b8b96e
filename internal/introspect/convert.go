package introspect

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

func endpointInfo(i *endpoint.Info) *parleyv1.EndpointInfo {
	e := &parleyv1.EndpointInfo{
		Name: i.Name, Number: i.Number, State: endpointStates[i.State], Started: moment(i.Started), Concurrency: uint32(i.Concurrency),
		Waiting: uint32(i.Waiting), Running: uint32(i.Running), Released: uint32(i.Released),
		Calls: i.Calls, Errors: i.Errors, Stalls: i.Stalls,
	}
	for _, service := range i.Services {
		e.Services = append(e.Services, text(service))
	}
	if l := i.LastError; l != nil {
		e.LastError = &parleyv1.LastError{Text: l.Text, During: text(l.During), At: moment(l.At)}
	}
	if i.OldestWait > 0 {
		e.OldestWait = durationpb.New(i.OldestWait)
	}
	for _, m := range i.Methods {
		e.Methods = append(e.Methods, &parleyv1.MethodInfo{Name: text(m.Name), Calls: m.Calls, Errors: m.Errors})
	}
	return e
}

var endpointStates = map[endpoint.State]parleyv1.EndpointInfo_State{
	endpoint.StateStarting: parleyv1.EndpointInfo_STATE_STARTING,
	endpoint.StateRunning:  parleyv1.EndpointInfo_STATE_RUNNING,
	endpoint.StateStopping: parleyv1.EndpointInfo_STATE_STOPPING,
}

func sessionInfo(i *endpoint.SessionInfo, now time.Time) *parleyv1.SessionInfo {
	n := &i.Ignored
	return &parleyv1.SessionInfo{
		Id: text(i.Peer.Session), PeerEnvId: text(i.Peer.EnvID), PeerAddress: text(i.Peer.Address), Remote: text(i.Remote), Principal: text(i.Principal),
		Dialled: i.Dialled, State: sessionStates[i.State], DetachedSince: moment(i.DetachedSince), Opened: moment(i.Opened), Age: durationpb.New(now.Sub(i.Opened)),
		Epoch: i.Epoch, Attaches: i.Attaches, Rotations: i.Rotations, Breaks: i.Breaks,
		FramesSent: i.FramesSent, FramesReceived: i.FramesReceived, Replayed: i.Replayed, Duplicates: i.Duplicates, Stalls: i.Stalls,
		UnacknowledgedFrames: uint32(i.UnacknowledgedFrames), UnacknowledgedBytes: i.UnacknowledgedBytes,
		PendingAsks: uint32(i.PendingAsks), OpenAsks: uint32(i.OpenAsks),
		Ignored: &parleyv1.Ignored{
			LateReplies: n.LateReplies, LateCancels: n.LateCancels, LateMessages: n.LateMessages, LateChunks: n.LateChunks, LateFrames: n.LateFrames,
			StaleTotals: n.StaleTotals, UnknownCredits: n.UnknownCredits, UnmatchedPongs: n.UnmatchedPongs, DroppedMetadata: n.DroppedMetadata,
		},
	}
}

var sessionStates = map[endpoint.SessionState]parleyv1.SessionInfo_State{
	endpoint.SessionAttached: parleyv1.SessionInfo_STATE_ATTACHED,
	endpoint.SessionDetached: parleyv1.SessionInfo_STATE_DETACHED,
}

// moment returns t; nil for the zero time.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// text returns s as valid UTF-8, without which nothing could be encoded: certificates and programs may say anything.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
